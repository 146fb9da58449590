"""Sizes that the headers of audio and video files state, beside what the files hold.

FFmpeg takes what is there of most of these files for the whole, and gives the duration of that for some. So bytes are
compared, before anything is decoded; and nothing where nothing is stated: ADTS, AC-3, MPEG streams, MP3 without a Xing
header, what was written to a pipe.

Source: RFC 3533 (Ogg), RFC 8794 (EBML), ISO 14496-12 (MP4), EBU Tech 3306 (RF64), Apple's CAF specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from lipwise_ray.media.container import damaged
from lipwise_ray.media.matroska import element_head


class _Chunks(NamedTuple):
    """Layout of a file of chunks.

    Attributes:
        begin: Offset of the first chunk.
        head_bytes: Length of what stands before a chunk's contents.
        kind, size: Places of its kind and its size in there.
        order: Byte order of the size.
        counted_bytes: Length of what the size counts beside the contents.
        step: Chunks begin at multiples of it.
        samples: Kinds that hold media data.
    """

    begin: int
    head_bytes: int
    kind: slice
    size: slice
    order: Literal["little", "big"]
    counted_bytes: int
    step: int
    samples: tuple[bytes, ...]


_FIRST_4, _NEXT_4, _GUID, _AFTER_GUID = slice(4), slice(4, 8), slice(16), slice(16, 24)
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_MP4, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_BOXES = _Chunks(0, 8, _NEXT_4, _FIRST_4, "big", 8, 1, (b"mdat", b"moof"))
_LONG_BOX = b"\0\0\0\1"  # its size stands behind its kind
_CHUNKS = {
    "wav": _Chunks(12, 8, _FIRST_4, _NEXT_4, "little", 0, 2, (b"data",)),
    "aiff": _Chunks(12, 8, _FIRST_4, _NEXT_4, "big", 0, 2, (b"SSND",)),
    "caf": _Chunks(8, 12, _FIRST_4, slice(4, 12), "big", 0, 1, (b"data",)),
    "au": _Chunks(0, 24, _FIRST_4, slice(8, 12), "big", 0, 1, (b".snd",)),
    "w64": _Chunks(40, 24, _GUID, _AFTER_GUID, "little", 24, 8, (_W64_DATA,)),
    "asf": _Chunks(0, 24, _GUID, _AFTER_GUID, "little", 24, 1, (_ASF_DATA,)),
    _MP4: _BOXES,
}
_MOST_CHUNKS = 1 << 16  # an MP4 in fragments has two for each

_UNKNOWN_BYTE = 0x7F
"""Largest byte of sizes that stand for none: writers to pipes state the largest number, or one that is near it."""

_RF64_SIZE = slice(8, 16)
_MOVED_SIZE = b"\xff\xff\xff\xff"  # RF64 states it in its first chunk

_SLACK_BYTES = {"mp3": 2048, "ogg": 0, _MATROSKA: 64, _MP4: 64, "asf": 64}
"""MP3: some do not count the header's own frame, some count tags. Elsewhere some miscount heads."""

_SLACK_PCM_BYTES = 4096  # some count headers among the samples

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

_XING = re.compile(
    # A frame's header, perhaps its checksum, side information of silence; flags tell whether frames are counted too.
    rb"\xff[\xe2-\xff].{2}(?:.{2})?\0{7,32}(?:Xing|Info)\0\0\0(?:[\x02\x06\x0a\x0e]|[\x03\x07\x0b\x0f].{4})(.{4})",
    re.DOTALL,
)
_XING_WITHIN_BYTES = 4096
_ID3, _ID3_BYTES, _ID3_FOOTER = b"ID3", 10, 0x10

_PAGE, _PAGE_BYTES, _MOST_LACES = b"OggS\0", 27, 255


class _Stated(NamedTuple):
    """A stretch of a file: where it begins, and its stated size."""

    begin: int
    size_bytes: int


def refuse_cut(path: Path, container: str) -> None:
    """Refuse a file that ends before it should by what it states; headers are read, and of Ogg its last 64 KiB.

    An Ogg file is only known to be cut where it ends within a page: recordings of streams lack the mark of the end too.

    Args:
        path: The file.
        container: FFmpeg's name of its container.

    Raises:
        MediaError: It was cut off.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        for begin, size_bytes in _stated(file, container, end):
            if end - begin + _SLACK_BYTES.get(container, _SLACK_PCM_BYTES) < size_bytes:
                says = "last page" if container == "ogg" else "header"
                raise damaged(path, f"holds {end - begin} of the {size_bytes} bytes that its {says} states")


def _stated(file: BinaryIO, container: str, end: int) -> Iterator[_Stated]:
    if container in _CHUNKS:
        yield from _chunks(file, _CHUNKS[container], end)
    elif container == _MATROSKA:
        yield from _segment(file, end)
    elif container == "mp3":
        yield from _xing(file)
    elif container == "ogg":
        yield from _last_page(file, end)


def _is_known(size: bytes, order: Literal["little", "big"]) -> bool:
    """Tell whether a size is none of those that writers state who cannot know it."""
    return any(size) and size[0 if order == "big" else -1] < _UNKNOWN_BYTE


def _chunks(file: BinaryIO, layout: _Chunks, end: int) -> Iterator[_Stated]:
    file.seek(layout.begin)
    moved = b""
    for _ in range(_MOST_CHUNKS):
        head = file.read(layout.head_bytes)
        kind, size, counted_bytes = head[layout.kind], head[layout.size], layout.counted_bytes
        if kind == b"ds64":
            place = file.tell()
            moved = file.read(_RF64_SIZE.stop)[_RF64_SIZE]
            file.seek(place)
        elif kind == b"data" and size == _MOVED_SIZE:
            size = moved
        elif layout is _BOXES and size == _LONG_BOX:
            size = file.read(8)
            counted_bytes += 8
        begin, size_bytes = file.tell(), int.from_bytes(size, layout.order) - counted_bytes
        if kind in layout.samples:
            if not _is_known(size, layout.order):
                return
            yield _Stated(begin, size_bytes)
        if not 0 <= size_bytes < end - begin:
            return
        file.seek(begin + size_bytes + -(begin + size_bytes) % layout.step)


def _segment(file: BinaryIO, end: int) -> Iterator[_Stated]:
    try:
        kind, size_bytes = element_head(file)
        if kind == _EBML and size_bytes < end:
            file.seek(size_bytes, 1)
            kind, size_bytes = element_head(file)
    except EOFError:
        return
    if kind == _SEGMENT and size_bytes & (size_bytes + 1):  # all bits are set where it is not known
        yield _Stated(file.tell(), size_bytes)


def _xing(file: BinaryIO) -> Iterator[_Stated]:
    begin = 0
    while (tag := file.read(_ID3_BYTES)).startswith(_ID3) and len(tag) == _ID3_BYTES:
        size_bytes = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(tag[6:])))
        begin += size_bytes + _ID3_BYTES * (2 if tag[5] & _ID3_FOOTER else 1)
        file.seek(begin)
    file.seek(begin)
    found = _XING.search(file.read(_XING_WITHIN_BYTES))
    if found and _is_known(found[1], "big"):
        yield _Stated(begin + found.start(), int.from_bytes(found[1], "big"))


def _last_page(file: BinaryIO, end: int) -> Iterator[_Stated]:
    begin = max(0, end - _PAGE_BYTES - _MOST_LACES * (1 + _MOST_LACES))
    file.seek(begin)
    tail = file.read()
    at = tail.rfind(_PAGE)
    if at < 0:
        return
    head, laces = tail[at : at + _PAGE_BYTES], tail[at + _PAGE_BYTES :]
    count = head[-1] if len(head) == _PAGE_BYTES else 0
    yield _Stated(begin + at, _PAGE_BYTES + count + sum(laces[:count]))
