"""Chapters on an output's clock, as its container can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

_BY_STARTS = ("mp4", "mov")
_UNTITLED = " "  # FFmpeg's muxer leaves out chapters without any title where others have one


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter on the output's clock."""

    start_s: Fraction
    stop_s: Fraction
    title: str


def held_chapters(chapters: Sequence[Chapter], container: str) -> tuple[Chapter, ...]:
    """Return chapters as a container gives them back.

    MP4 and MOV know them by their starts alone: each lasts until the next one begins, and the first begins at 0, so
    what comes before it becomes a chapter without a title.

    Args:
        chapters: Chapters of an output.
        container: FFmpeg's name of its container.
    """
    kept = sorted(chapters, key=lambda chapter: chapter.start_s)  # muxers drop those that come too late
    if container not in _BY_STARTS or not kept:
        return tuple(kept)
    if kept[0].start_s > 0:
        kept.insert(0, Chapter(Fraction(0), kept[0].start_s, ""))
    kept = [replace(chapter, title=chapter.title or _UNTITLED) for chapter in kept]
    return (*(replace(chapter, stop_s=following.start_s) for chapter, following in pairwise(kept)), kept[-1])
