"""Backends that workers live in: this process, or Ray."""
