"""Sizes of what networks take, for those who need not load the networks."""

from __future__ import annotations

WAV2LIP_PX = 96
"""Side of the face crops."""
