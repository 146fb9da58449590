"""Media playlist of HLS: when its pieces are shown, and a playlist of some of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

_INDIVISIBLE = (
    "#EXT-X-DISCONTINUITY",  # also of -SEQUENCE: clocks start anew
    "#EXT-X-GAP",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-DEFINE",
    "#EXT-X-SKIP",
    "#ANVATO-SEGMENT-INFO",  # advertisements, which the downloader leaves out by itself
    "#UPLYNK-SEGMENT",
)
"""Tags of playlists of which all is fetched."""

_END, _SEQUENCE, _KEY, _MAP = "#EXT-X-ENDLIST", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-KEY:", "#EXT-X-MAP:"
_DURATION, _BYTES = "#EXTINF:", "#EXT-X-BYTERANGE:"


@dataclass(frozen=True, slots=True)
class _PlaylistPiece:
    """A piece: the keys that are named before it, and the lines that tell of it alone."""

    duration_s: float
    keys: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """A playlist that has an end and one clock from its first piece to its last.

    Source: RFC 8216, sections 4.3.2 and 4.3.3.
    """

    _head: tuple[str, ...]
    _sequence: int
    _pieces: tuple[_PlaylistPiece, ...]

    @property
    def durations_s(self) -> list[float]:
        """Lengths of the pieces as the playlist states them, mostly rounded."""
        return [piece.duration_s for piece in self._pieces]

    def part(self, first: int, stop: int) -> str:
        """Return a playlist of the pieces ``[first, stop)``, with what is needed to read them.

        Args:
            first: Number of its first piece, from 0.
            stop: Number after its last.
        """
        keys = [key for piece in self._pieces[:first] for key in piece.keys]
        has_keys = any(piece.keys for piece in self._pieces) or any(line.startswith(_KEY) for line in self._head)
        # A key that states no vector takes the piece's number for it.
        number = [f"{_SEQUENCE}{self._sequence + first}"] if has_keys else []
        lines = [line for piece in self._pieces[first:stop] for line in (*piece.keys, *piece.lines)]
        return "\n".join([*self._head, *keys, *number, *lines, _END, ""])


def read_playlist(text: str) -> MediaPlaylist | None:
    """Return a media playlist; None for one of which pieces cannot be left out exactly.

    Args:
        text: Its lines.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _END not in lines or any(line.startswith(_INDIVISIBLE) for line in lines):
        return None
    try:
        return _read(lines)
    except ValueError:  # the downloader says what it cannot read
        return None


def _read(lines: list[str]) -> MediaPlaylist | None:
    begins = next((number for number, line in enumerate(lines) if line.startswith((_DURATION, _BYTES))), len(lines))
    head, rest = lines[:begins], lines[begins:]
    if any(line.startswith(_MAP) for line in rest) or (_has_numbered_keys(lines) and _MAP in "\n".join(head)):
        return None  # readers differ on whether a file's beginning counts among the numbers of pieces
    sequence = next((int(line.removeprefix(_SEQUENCE)) for line in head if line.startswith(_SEQUENCE)), 0)
    pieces: list[_PlaylistPiece] = []
    keys: list[str] = []
    own: list[str] = []
    bytes_end, duration_s = 0, 0.0
    for line in rest:
        if line.startswith(_KEY):
            keys.append(line)
        elif line.startswith(_DURATION):
            duration_s = float(line.removeprefix(_DURATION).partition(",")[0])
            own.append(line)
        elif line.startswith(_BYTES):
            count, _, start = line.removeprefix(_BYTES).partition("@")
            begin = int(start) if start else bytes_end
            bytes_end = begin + int(count)
            own.append(f"{_BYTES}{int(count)}@{begin}")
        elif not line.startswith("#"):
            pieces.append(_PlaylistPiece(duration_s, tuple(keys), (*own, line)))
            keys, own, duration_s = [], [], 0.0
    if not all(0 < piece.duration_s < math.inf for piece in pieces):
        return None
    return MediaPlaylist(tuple(line for line in head if not line.startswith(_SEQUENCE)), sequence, tuple(pieces))


def _has_numbered_keys(lines: list[str]) -> bool:
    """Tell whether a key states no vector: a piece's number is it then."""
    return any(line.startswith(_KEY) and "METHOD=NONE" not in line and "IV=" not in line for line in lines)
