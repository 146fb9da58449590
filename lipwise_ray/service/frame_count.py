"""Counting the frames of a video that somebody sent, for what a client says of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from lipwise_ray.settings.execution import LimitsSettings
from lipwise_ray.settings.model import SourceSettings
from lipwise_ray.state.shapes import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesWanted:
    """Frames of a video are to be counted, as rows of these settings have them.

    Attributes:
        file: The video.
        limits: Limits on its size.
        source: How it is read.
        limit_s: Bound on the time of the counting, in whole seconds.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    file: Path
    limits: LimitsSettings
    source: SourceSettings
    limit_s: int


@dataclass(frozen=True, slots=True)
class FrameCount:
    """Number of a video's frames, and the size of a shown one in pixels."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    frames: int
    width: int
    height: int
    kind: Literal["frames"] = "frames"


def count_frames(wanted: FramesWanted) -> FrameCount:
    """Return the number of a video's frames; its packets are read to the end.

    Raises:
        MediaError: It is no video, breaks a limit, or is damaged.
    """
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.probe import probe_video

    source = wanted.source
    info = probe_video(wanted.file, wanted.limits, Fraction(source.still_rate))
    index = build_index(info, salvage=source.salvage)
    recipe = make_recipe(
        info,
        index.sizes,
        resize_factor=source.resize_factor,
        crop=source.crop,
        rotation=source.rotate,
        deinterlace=source.deinterlace != "none",
    )
    shown = recipe.canvas.shown_size
    return FrameCount(len(index), shown.width, shown.height)
