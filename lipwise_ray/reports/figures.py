"""Figures as a page shows them."""

from __future__ import annotations


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure as text, a dash where it is missing."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """Return a fraction as text, a dash where it is missing."""
    return "-" if share is None else f"{share:.0%}"
