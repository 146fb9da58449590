"""One verified file at its final address."""
