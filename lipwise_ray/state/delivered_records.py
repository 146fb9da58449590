"""Records of what an output has of its inputs: how their audio was heard, and what of them stayed behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Figure, Maybe, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehindRecord:
    """Something of the source that the output lacks: see `media.side_streams.LeftBehind`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: str = ""
    what: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardRecord:
    """Downmix and repair of an audio stream for the networks: see `media.audio.DecodedAudio`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    mix: str = ""
    lufs: Figure | None = None
    gain_db: Maybe[Figure] = None
    holes: Maybe[Count] = None
    hole_s: Maybe[NonNegative] = None
    changes: Maybe[Count] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecord:
    """The sign in an output's frames.

    Attributes:
        text: Its text.
        frames: Number of frames that show it, from the first on.
        box: left, top, right, bottom as shares of the shown frame's width and height; what is outside of it is not
            drawn to.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    text: str
    frames: Count
    box: tuple[Figure, Figure, Figure, Figure]
