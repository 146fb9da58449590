"""Fading of a new face into the original one, when it begins and ends to speak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.lipsync.restoration import PatchPlace
from lipwise_ray.media.pixels import plane_arrays
from lipwise_ray.media.region import Canvas, compose
from lipwise_ray.values import PixelArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_AROUND_PX = 4


@dataclass(frozen=True, slots=True)
class FilmedPart:
    """A part of a frame's plane as it was filmed.

    Attributes:
        now: The part of the frame, which changes.
        filmed: A copy of what it was.
    """

    now: PixelArray
    filmed: PixelArray

    def fade(self, opacity: float) -> None:
        """Mix what the part has become with what it was.

        Args:
            opacity: Of what it has become, below 1.
        """
        cv2.addWeighted(self.now, opacity, self.filmed, 1 - opacity, 0, dst=self.now)


def copied(frame: VideoFrame, canvas: Canvas, patches: Sequence[PatchPlace]) -> list[FilmedPart]:
    """Return the parts of a frame that patches will be laid over, one a plane at most.

    They are faded in this machine's memory: planes that the frame has on a device are taken off it.

    Args:
        frame: The frame.
        canvas: Its geometry and colours.
        patches: Places of one or more.
    """
    frame.opaque = None
    corners = np.concatenate([_corners(canvas, patch) for patch in patches], axis=1)
    parts: list[FilmedPart] = []
    for plane, whole in enumerate(plane_arrays(frame, canvas.format.planes)):
        steps = 1 << np.array(canvas.format.shifts(plane))
        (left, top), (right, bottom) = corners.min(axis=1) / steps, corners.max(axis=1) / steps
        rows, columns = (
            slice(max(0, math.floor(low) - _AROUND_PX), max(0, math.ceil(high) + _AROUND_PX))
            for low, high in ((top, bottom), (left, right))
        )
        now = whole[rows, columns]
        if now.size:
            parts.append(FilmedPart(now, now.copy()))
    return parts


def _corners(canvas: Canvas, patch: PatchPlace) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the corners of a patch in the stored frame, shape (2, 4)."""
    to_stored, side = compose(canvas.to_stored(), patch.to_shown), float(patch.side_px)
    return to_stored @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]])
