"""A video engine in software: frames come semi-planar as from a GPU's, and go down the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lipwise_ray.lipsync.device_frames import DeviceDownloads
from lipwise_ray.media.hardware import HardwareDecoder
from lipwise_ray.media.hardware_check import HardwareFrames

Change = Callable[[Iterator[Any]], Iterator[Any]]
_SEMI_PLANAR = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}


def software_decoder(codec: str, change: Change = iter, resident_bytes: int = 0) -> HardwareDecoder:
    """A decoder whose frames are FFmpeg's own, semi-planar; `change` may do to them what a bad engine does."""
    downloads = DeviceDownloads("cpu", resident_bytes)

    def semi_planar(frames: Iterator[Any]) -> Iterator[Any]:
        for frame in frames:
            yield frame.reformat(format=_SEMI_PLANAR[frame.format.name])

    return HardwareDecoder(codec, None, lambda frames: downloads(change(semi_planar(frames))))


def software_engine(change: Change = iter, resident_bytes: int = 0) -> HardwareFrames:
    """An engine of such decoders."""
    return HardwareFrames(lambda codec: software_decoder(codec, change, resident_bytes))
