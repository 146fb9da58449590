"""The one thing of Matroska that cannot be asked of its muxer through PyAV: the size at which frames are shown.

The muxer takes it from a field of the stream that PyAV does not set, so room is left in the track's name, and when the
file is finished the track's entry is written anew in the same bytes.

Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from lipwise_ray.errors import SegmentError

ROOM = "\x1f" * 64
"""Put behind the track's name."""

_SEGMENT, _TRACKS, _ENTRY, _NAME, _VIDEO = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\x53\x6e", b"\xe0"
_PIXEL_WIDTH, _PIXEL_HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT = b"\xb0", b"\xba", b"\x54\xb0", b"\x54\xba"
_SHOWN_UNIT = b"\x54\xb2"  # pixels unless it says otherwise, and the muxer says unknown
_VOID, _CRC = b"\xec", b"\xbf"
_OF_SHOWN = (_SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT)
_SIZE_BYTES = 8
_CRC_BYTES = 4
_PIXEL_BYTES = 4
_MOST_LARGER = 2


@dataclass(frozen=True, slots=True)
class _Element:
    """``raw`` is all of it, head and contents."""

    id: bytes
    contents: bytes
    raw: bytes


def set_shown_size(path: Path, sample_aspect_ratio: Fraction) -> None:
    """Say in a finished file, whose track was given `ROOM`, how wide its pixels are.

    Args:
        path: The file.
        sample_aspect_ratio: Width of a pixel over its height.

    Raises:
        SegmentError: The file is not as it was muxed.
    """
    with path.open("r+b") as file:
        try:
            at, size = _tracks(file, path.stat().st_size)
            file.seek(at)
            data = _described_tracks(file.read(size), sample_aspect_ratio)
        except (EOFError, KeyError, ValueError) as error:
            raise SegmentError(
                "matroska",
                str(path),
                got="the shape of its pixels cannot be noted: its tracks are not where they were muxed",
                do="Run the same command again",
            ) from error
        file.seek(at)
        file.write(data)


def _tracks(file: BinaryIO, end: int) -> tuple[int, int]:
    """Return offset and length of the contents of the tracks' element.

    Raises:
        EOFError: There is none before the end.
    """
    while file.tell() < end:
        element, size = element_head(file)
        if element == _TRACKS and file.tell() + size <= end:
            return file.tell(), size
        if element != _SEGMENT:
            file.seek(size, 1)
    raise EOFError


def _described_tracks(tracks: bytes, sample_aspect_ratio: Fraction) -> bytes:
    """Return the contents of the tracks' element in as many bytes as before.

    Raises:
        EOFError: They end in the middle.
        KeyError: Frames have no size.
        ValueError: There is no room.
    """
    entries = list(_elements(tracks))
    made = [_described(entry, sample_aspect_ratio) for entry in entries if entry.id != _CRC]
    data = b"".join(made)
    if len(entries) > len(made):  # a checksum of the others stands in front of them
        data = entries[0].raw[:-_CRC_BYTES] + zlib.crc32(data).to_bytes(_CRC_BYTES, "little") + data
    if len(data) != len(tracks):
        raise ValueError(len(data))
    return data


def element_head(file: BinaryIO) -> tuple[bytes, int]:
    """Read an element's id and the length of its contents.

    Raises:
        EOFError: Nothing that could be an element begins here.
    """
    element, _ = _number(file)
    data, length = _number(file)
    return element, int.from_bytes(data, "big") & ((1 << 7 * length) - 1)


def _number(file: BinaryIO) -> tuple[bytes, int]:
    """Read the bytes of a number that tells its own length, and that length."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 0
    data = first + file.read(length - 1) if 0 < length <= _SIZE_BYTES else b""
    if not data or len(data) < length:
        raise EOFError
    return data, length


def _elements(data: bytes) -> Iterator[_Element]:
    file = BytesIO(data)
    while (start := file.tell()) < len(data):
        element, size = element_head(file)
        contents = file.read(size)
        yield _Element(element, contents, data[start : file.tell()])


def _written(element: bytes, contents: bytes) -> bytes:
    return element + (len(contents) | 1 << 7 * _SIZE_BYTES).to_bytes(_SIZE_BYTES, "big") + contents


def _described(entry: _Element, sample_aspect_ratio: Fraction) -> bytes:
    """Return a track's entry in as many bytes as before, with the size at which it is shown where there is room."""
    room = ROOM.encode()
    parts = list(_elements(entry.contents)) if entry.id == _ENTRY else []
    if not any(part.id == _NAME and part.contents.endswith(room) for part in parts):
        return entry.raw
    made = b""
    for part in parts:
        if part.id == _VIDEO:
            made += _written(_VIDEO, _shown(part.contents, sample_aspect_ratio))
        elif part.id != _NAME:
            made += part.raw
        elif name := part.contents.removesuffix(room):
            made += _written(_NAME, name)
    head_bytes = 1 + _SIZE_BYTES
    return _written(_ENTRY, made + _written(_VOID, bytes(len(entry.raw) - len(made) - 2 * head_bytes)))


def _shown(video: bytes, sample_aspect_ratio: Fraction) -> bytes:
    """Return the video settings of a track, with the size at which frames are shown."""
    parts = {part.id: part for part in _elements(video)}
    width, height = (int.from_bytes(parts[side].contents, "big") for side in (_PIXEL_WIDTH, _PIXEL_HEIGHT))
    shown = _shown_size(width, height, sample_aspect_ratio)
    kept = b"".join(part.raw for part in _elements(video) if part.id not in _OF_SHOWN)
    return kept + b"".join(
        side + bytes([0x80 | _PIXEL_BYTES]) + pixels.to_bytes(_PIXEL_BYTES, "big")
        for side, pixels in zip((_SHOWN_WIDTH, _SHOWN_HEIGHT), shown, strict=True)
    )


def _shown_size(width: int, height: int, sample_aspect_ratio: Fraction) -> tuple[int, int]:
    """Return whole numbers of the shown frame's shape, exact where that is not much larger than the stored one."""
    shape = width * sample_aspect_ratio / height
    times = max(-(-width // shape.numerator), -(-height // shape.denominator))
    if times * shape.denominator <= _MOST_LARGER * height and times * shape.numerator <= _MOST_LARGER * width:
        return times * shape.numerator, times * shape.denominator
    if sample_aspect_ratio >= 1:
        return round(width * sample_aspect_ratio), height
    return width, round(height / sample_aspect_ratio)
