"""The background of a row: a track without speech, or what the video's own audio holds beside its voices."""

from __future__ import annotations

KEEP = "keep"
"""Word of the column for what is separated from the video's own audio."""


def background_file(background: str | None) -> str | None:
    """Return the file that a row's background is; None where it has none, or keeps that of its video."""
    return None if background == KEEP else background
