"""A job: what decides it, its plan, and its chunks."""
