"""A time that is left, in words."""

from __future__ import annotations

_A_MINUTE_S = 90.0


def in_words(seconds: float) -> str:
    """Return a time that is left, no finer than an estimate is."""
    if seconds < _A_MINUTE_S:
        return f"about {max(1, round(seconds))} s left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min left" if hours else f"about {minutes} min left"
