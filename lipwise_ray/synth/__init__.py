"""Made-up clips for the demo and the tests."""
