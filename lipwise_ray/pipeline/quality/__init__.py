"""Figures of finished videos, and whether they pass."""
