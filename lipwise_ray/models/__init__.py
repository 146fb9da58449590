"""Checkpoints: roles, the registry of published ones, fetching and finding them."""
