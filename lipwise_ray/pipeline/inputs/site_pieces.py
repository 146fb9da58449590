"""Pieces in which a site's files come: those that a row's start and end need."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Protocol

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass

from lipwise_ray.faces.select import AT
from lipwise_ray.pipeline.inputs.media_playlist import MediaPlaylist, read_playlist
from lipwise_ray.pipeline.manifest.speakers import Speaker, rules_of
from lipwise_ray.settings.model import Settings

_BEFORE, _AFTER, _BESIDE_S = 1, 1, 60.0
"""Pieces beside those that are asked for, and their usual length at most: decoders start at a key frame before the
first frame, and lengths are rounded in playlists."""


class RangedRow(Protocol):
    """A row whose video may be used from a start to an end."""

    @property
    def start_s(self) -> float:
        """First second that is used."""
        ...

    @property
    def end_s(self) -> float | None:
        """Second at which use ends; None for the video's end."""
        ...

    @property
    def tracks(self) -> str | None:
        """Face tracks of its own, or None."""
        ...

    @property
    def speakers(self) -> Sequence[Speaker]:
        """Faces and what each says; empty where one rule chooses the faces."""
        ...


@dataclass(frozen=True, slots=True)
class UsedSeconds:
    """Seconds of a video that a row uses, from its first frame on.

    Attributes:
        start_s: The first.
        end_s: Where use ends; None for the video's end.
    """

    start_s: float
    end_s: float | None

    def after(self, left_out_s: Fraction) -> UsedSeconds:
        """Return them counted from a later frame.

        Args:
            left_out_s: By how much it is later.
        """
        end_s = None if self.end_s is None else float(Fraction(self.end_s) - left_out_s)
        return UsedSeconds(float(Fraction(self.start_s) - left_out_s), end_s)

    @property
    def most_s(self) -> float:
        """Length of what is fetched for them, at most, where pieces are as long as usual."""
        return math.inf if self.end_s is None else self.end_s - self.start_s + _BESIDE_S


def used_seconds(row: RangedRow, settings: Settings) -> UsedSeconds | None:
    """Return the seconds that a row uses of its video; None where it needs all of it.

    Tracks and the rule ``at`` number frames from the first of the whole; of a damaged video its decoder says which
    that is.

    Args:
        row: The row.
        settings: Its settings.
    """
    if row.tracks or settings.source.salvage or (row.start_s == 0 and row.end_s is None):
        return None
    if any(rule.kind == AT for rule in rules_of(row.speakers, settings)):
        return None
    return UsedSeconds(row.start_s, row.end_s)


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class FormatPieces:
    """Times of a format's pieces, as the site states them.

    Attributes:
        playlist: Media playlist of HLS; empty where it comes otherwise.
        durations_s: Of each fragment of DASH, None for the file's beginning; empty where it comes otherwise.
    """

    playlist: str
    durations_s: list[float | None]


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file that is to be fetched: a format of a site's video, or a part of it.

    Attributes:
        format: Number of the format.
        name: Ending of the file's name.
        playlist: Playlist of the part; empty where there is none.
        fragments: First fragment after the file's beginning, and the one where it stops; None for all.
    """

    format: int
    name: str
    playlist: str = ""
    fragments: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class FormatPart:
    """Pieces ``[first, stop)`` of a format that has ``count`` of them; ``fraction`` is their part of its length."""

    format: int
    first: int
    stop: int
    count: int
    fraction: float
    _playlist: MediaPlaylist | None

    @property
    def file(self) -> SiteFile:
        """The part's file."""
        return self._file(str(self.format), self.first, self.stop)

    @property
    def opening(self) -> SiteFile:
        """The format's first piece, which tells where its clock begins."""
        return self._file(f"opening.{self.format}", 0, 1)

    def _file(self, name: str, first: int, stop: int) -> SiteFile:
        if self._playlist is None:
            return SiteFile(self.format, name, fragments=(first, stop))
        return SiteFile(self.format, name, self._playlist.part(first, stop))


def whole_files(formats: int) -> list[SiteFile]:
    """Return the files of all of a video.

    Args:
        formats: How many formats were chosen.
    """
    return [SiteFile(number, str(number)) for number in range(formats)]


def needed_parts(formats: Sequence[FormatPieces], seconds: UsedSeconds) -> list[FormatPart]:
    """Return the part of each format that is needed; none where all of a video is.

    All is needed where a format comes in one piece, has pieces without times, or ends before the seconds begin, which
    only the whole can tell for sure.

    Args:
        formats: Pieces of the chosen formats.
        seconds: What is used of the video.
    """
    parts: list[FormatPart] = []
    for number, one in enumerate(formats):
        playlist = read_playlist(one.playlist) if one.playlist else None
        part = _part(number, playlist, playlist.durations_s if playlist else _fragment_durations_s(one), seconds)
        if part is None:
            return []
        parts.append(part)
    return parts if any(part.stop - part.first < part.count for part in parts) else []


def _fragment_durations_s(pieces: FormatPieces) -> list[float]:
    """Return the lengths of the fragments after a file's beginning; none where one has none, or there is no such."""
    beginning, durations_s = pieces.durations_s[:1], [one or 0.0 for one in pieces.durations_s[1:]]
    return durations_s if beginning == [None] and min(durations_s, default=0.0) > 0 else []


def _part(
    number: int, playlist: MediaPlaylist | None, durations_s: Sequence[float], seconds: UsedSeconds
) -> FormatPart | None:
    ends_s = list(accumulate(durations_s))
    if not ends_s or seconds.start_s >= ends_s[-1]:
        return None
    count = len(ends_s)
    first = max(0, bisect.bisect_right(ends_s, seconds.start_s) - _BEFORE)
    stop = count if seconds.end_s is None else min(count, bisect.bisect_left(ends_s, seconds.end_s) + 1 + _AFTER)
    return FormatPart(number, first, stop, count, sum(durations_s[first:stop]) / ends_s[-1], playlist)
