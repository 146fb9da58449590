"""Studio: pages for people, over the same service that programs call."""
