"""Use cases: a manifest submitted, a night worked through."""
