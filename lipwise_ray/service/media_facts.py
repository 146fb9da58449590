"""Looking at a file that somebody sent: what it is, by its contents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import MediaError
from lipwise_ray.service.asset_record import MediaFacts
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.container import InputContainer

_STILL_FORMATS = frozenset({"png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe"})
_MOST_DURATION_S = 1e7


def media_facts(path: Path) -> MediaFacts:
    """Return the facts of a media file; its streams are looked at and none is decoded to its end.

    Raises:
        MediaError: It is none.
    """
    from lipwise_ray.media.container import open_input, reading

    try:
        with open_input(path) as container, reading(path):
            return _facts(container)
    except MediaError as error:  # its place is a path of ours
        raise MediaError("not_media", "the file", got=error.happened, do="Send a video, audio or an image") from error


def _facts(container: InputContainer) -> MediaFacts:
    from av.stream import Disposition

    name = container.format.name
    pictures = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]  # covers of songs are none
    duration_s = container.duration / 1_000_000 if container.duration else None
    if duration_s is not None and not 0 <= duration_s <= _MOST_DURATION_S:
        duration_s = None
    if not pictures:
        if not container.streams.audio:
            raise MediaError("not_media", "the file", got="has neither pictures nor audio")
        return MediaFacts(kind="AUDIO", format=name, duration_s=duration_s)
    size = Size(pictures[0].width, pictures[0].height)
    if name in _STILL_FORMATS:
        return MediaFacts(kind="IMAGE", format=name, width=size.width, height=size.height)
    return MediaFacts(kind="VIDEO", format=name, duration_s=duration_s, width=size.width, height=size.height)
