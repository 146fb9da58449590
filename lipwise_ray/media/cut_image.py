"""JPEG images that end too early: decoders fill what is missing with gray, and do not say so."""

from __future__ import annotations

from pathlib import Path

import av.error

from lipwise_ray.media.container import damaged, open_input

_BEGIN, _END, _SCAN = b"\xff\xd8\xff", b"\xff\xd9", 0xDA
_TAIL_BYTES = 64


def refuse_cut_image(path: Path) -> None:
    """Refuse a JPEG file that ends before its image does; other files pass.

    Some writers leave the mark of the end out: then the decoder is asked for every fault that it meets.

    Raises:
        MediaError: It was cut off.
    """
    with path.open("rb") as file:
        if file.read(len(_BEGIN)) != _BEGIN:
            return
        end = file.seek(0, 2)
        file.seek(max(0, end - _TAIL_BYTES))
        if _END in file.read():
            return
        file.seek(0)
        data = file.read()
    if data.find(_END, _scan_of(data)) >= 0:  # something else was put after the image
        return
    with open_input(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        try:
            for _ in container.decode(stream):
                pass
        except av.error.FFmpegError as error:
            raise damaged(path, "the image ends before its last row") from error


def _scan_of(data: bytes) -> int:
    """Return the place at which the first scan of a JPEG begins: what is before it may hold a smaller image."""
    place = len(_BEGIN) - 1
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != bytes([_SCAN]):
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return place
