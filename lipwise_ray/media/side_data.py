"""Side data of decoded frames.

PyAV names the kinds of side data that it knows, and refuses to list those of a frame that has one of another kind, such
as the EXIF block that FFmpeg hands on with every photo. So kinds that it does not know are given a name here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.video.frame import VideoFrame


def _unnamed(kinds: type[Type], value: object) -> Type:
    """Return a kind that PyAV has no name for; Python asks for it before it refuses a value."""
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind


Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]  # enums call it as a method of the class


def side_data(frame: VideoFrame, kind: Type) -> bytes:
    """Return a decoded frame's side data of a kind, empty where it has none."""
    buffer = cast("Buffer | None", frame.side_data.get(kind.name))
    return bytes(buffer) if buffer is not None else b""
