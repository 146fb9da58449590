"""Inputs: local files behind addresses, and the records that are made of them once."""
