"""One row, from its line in a manifest to its delivered file, in the order in which it lives."""
