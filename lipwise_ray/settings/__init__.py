"""Settings: what they are, where a run's come from, and the document that lists them."""
