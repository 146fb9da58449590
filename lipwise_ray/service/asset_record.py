"""A file that a client sent: its record, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from lipwise_ray.state.shapes import STRICT, Count, Id, NonNegative

AssetKind = Literal["VIDEO", "AUDIO", "IMAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """Facts of a media file, by its contents and not by its name.

    Attributes:
        kind: Its kind.
        format: FFmpeg's name of its container.
        duration_s: Length; None for images, and where the container does not say.
        width, height: Size of its pictures in pixels; 0 for audio.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: AssetKind
    format: str
    duration_s: NonNegative | None = None
    width: Count = 0
    height: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file that a client sent, or is still sending.

    Attributes:
        id: Its name here; ids sort by time.
        created, changed: Seconds since 1970.
        name: Its name at the client's; it is for people and for nothing else.
        content_type: Its type by the client's word, which nothing goes by.
        size: Bytes; those that were announced while they arrive, None where none were.
        media: Facts of it; None while it arrives.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: Id
    created: NonNegative
    changed: NonNegative
    name: Annotated[str, Field(max_length=255)] = ""
    content_type: Annotated[str, Field(max_length=255)] = ""
    size: Count | None = None
    media: MediaFacts | None = None

    @property
    def is_whole(self) -> bool:
        """True once all of it arrived and it is known to be a media file."""
        return self.media is not None
