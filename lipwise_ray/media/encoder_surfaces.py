"""Surfaces: a device's memory from which an encoder on it reads its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class SurfaceFormat:
    """Format of surfaces.

    Attributes:
        name: FFmpeg's name of it: two planes, the second of which has both colours in turn.
        planar: FFmpeg's name of the format of the frames whose samples it holds.
    """

    name: str
    planar: str


SURFACE_FORMATS = {"yuv420p": SurfaceFormat("nv12", "yuv420p"), "p010le": SurfaceFormat("p010le", "yuv420p10le")}
"""By the format in which a job's frames are encoded."""


class EncoderSurfaces(Protocol):
    """Surfaces of one size and format for one encoder, which reads them some time after it was given them.

    Attributes:
        format: Their format.
    """

    format: SurfaceFormat

    def accelerator(self) -> HWAccel | None:
        """Return PyAV's description of the device for opening the encoder; None for an encoder in software."""
        ...

    def filled(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """Return a surface with a frame's samples, which are there already.

        Args:
            frame: A frame in the planar format; its planes may be on the device too.
            pts: Its time, by which its packet is known.

        Raises:
            RuntimeError: The device failed, or the encoder keeps more surfaces than it can know.
        """
        ...

    def returned(self, pts: int) -> None:
        """Take back the surface of the frame at a time: its packet has come, so the encoder has read it."""
        ...


@dataclass(frozen=True, slots=True)
class SurfaceFeed:
    """Surfaces for a segment's encoder.

    Attributes:
        surfaces: The surfaces.
        refused: Told the reason where the device failed, or the encoder with its frames.
    """

    surfaces: EncoderSurfaces
    refused: Callable[[str], None]
