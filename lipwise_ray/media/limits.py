"""Limits of inputs. Checked by their headers, and by what comes out of them where headers may lie."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from lipwise_ray.errors import MediaError
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_HOUR_S = 3600


def check_container(container: InputContainer, path: Path, limits: LimitsSettings) -> None:
    """Refuse a file with too many streams, or one that says it is too long.

    Raises:
        MediaError: It is.
    """
    streams = len(container.streams)
    if streams > limits.streams:
        raise MediaError(
            "too_many_streams",
            str(path),
            got=f"holds {streams} streams",
            must=f"at most {limits.streams} are allowed",
            do="See limits.streams",
        )
    check_duration(Fraction(container.duration or 0, av.time_base), path, limits)


def check_frame_size(stream: VideoStream, path: Path, limits: LimitsSettings) -> None:
    """Refuse a stream with too large a frame, by its header.

    Raises:
        MediaError: It is.
    """
    check_size(Size(stream.codec_context.width, stream.codec_context.height), path, limits)


def check_size(size: Size, path: Path | str, limits: LimitsSettings) -> None:
    """Refuse too large a frame.

    Raises:
        MediaError: It is.
    """
    if size.width * size.height > limits.megapixels * 1e6:
        raise MediaError(
            "too_large",
            str(path),
            got=f"has frames of {size.width}x{size.height}",
            must=f"at most {limits.megapixels:g} megapixels are allowed",
            do="See limits.megapixels",
        )


def check_duration(seconds: Fraction, path: Path | str, limits: LimitsSettings) -> None:
    """Refuse what is too long.

    Raises:
        MediaError: It is.
    """
    if seconds > limits.hours * _HOUR_S:
        raise MediaError(
            "too_long",
            str(path),
            got=f"lasts {float(seconds) / _HOUR_S:.2f} hours",
            must=f"at most {limits.hours:g} hours are allowed",
            do="See limits.hours",
        )
