"""Content credentials (C2PA): what a file says of its making, signed, and the reading of it."""
