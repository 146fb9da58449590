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
    found = sorted(chapters, key=lambda one: one.start_s)  # muxers drop those that come too late
    if container not in _BY_STARTS or not found:
        return tuple(found)
    if found[0].start_s > 0:
        found.insert(0, Chapter(Fraction(0), found[0].start_s, ""))
    found = [replace(one, title=one.title or _UNTITLED) for one in found]
    return (*(replace(one, stop_s=following.start_s) for one, following in pairwise(found)), found[-1])
