"""Length of the samples that the header of a WAV states, beside what the file holds."""

from __future__ import annotations

import struct
from pathlib import Path

from lipwise_ray.media.container import damaged

_CHUNK = struct.Struct("<4sI")
_MOST_CHUNKS = 64
_UNKNOWN = 0x7FFF0000
"""Writers to pipes state this or more, or nothing: they cannot know."""

_SLACK_BYTES = 4096  # some count headers among the samples


def refuse_cut_wave(path: Path) -> None:
    """Refuse a WAV that ends long before its samples do; FFmpeg takes what is there for the whole.

    Args:
        path: The file; one that is no RIFF file passes.

    Raises:
        MediaError: It was cut off.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        for _ in range(_MOST_CHUNKS):
            chunk = file.read(_CHUNK.size)
            if len(chunk) < _CHUNK.size:
                return
            kind, stated = _CHUNK.unpack(chunk)
            if kind == b"data":
                held = path.stat().st_size - file.tell()
                if stated < _UNKNOWN and held + _SLACK_BYTES < stated:
                    raise damaged(path, f"holds {held} of the {stated} bytes of samples that its header states")
                return
            file.seek(stated + stated % 2, 1)
