"""Fit of a finished video to a reference of another size: both are compared in the reference's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lipwise_ray.media.region import Canvas
from lipwise_ray.settings.compare import Fit
from lipwise_ray.values import F32Array, Size

_SAME_SHAPE = 0.02
"""Sizes are rounded to even numbers: shapes that differ by so much are one."""


@dataclass(frozen=True, slots=True)
class SizeFit:
    """Map from the shown frames of a video to those of its reference.

    Videos of a small size are brought to the reference's, never the other way: what a video has lost counts.

    Attributes:
        left, top: Corner of the part of the reference that the video shows, in its pixels.
        size: Size of that part.
        scale_x, scale_y: Pixels of the reference in one of the video's.
    """

    left: int
    top: int
    size: Size
    scale_x: float
    scale_y: float

    @property
    def is_none(self) -> bool:
        """Tell whether both have the same pixels."""
        return (self.left, self.top, self.scale_x, self.scale_y) == (0, 0, 1.0, 1.0)

    def points(self, points_xy: F32Array) -> F32Array:
        """Return points of the video in the reference's frame, shape (..., 2)."""
        scale = np.array([self.scale_x, self.scale_y], np.float32)
        return points_xy * scale + np.array([self.left, self.top], np.float32)

    def box(self, box_xyxy: F32Array) -> F32Array:
        """Return a box of the video in the reference's frame, shape (4,)."""
        return self.points(box_xyxy.reshape(2, 2)).reshape(4)

    def scaled(self, luma: F32Array) -> F32Array:
        """Return a frame of the video in the pixels of the part, shape (H, W)."""
        width, height = self.size.width, self.size.height
        if luma.shape == (height, width):
            return luma
        is_smaller = width < luma.shape[1]
        way = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(luma, (width, height), interpolation=way), np.float32)

    def part(self, luma: F32Array) -> F32Array:
        """Return the part of a frame of the reference, shape (H, W)."""
        return luma[self.top : self.top + self.size.height, self.left : self.left + self.size.width]


def size_fit(video: Canvas, reference: Canvas, fit: Fit) -> SizeFit | str:
    """Return the place of a video's frames on its reference's; or the reason why they cannot be compared.

    Args:
        video: Its canvas.
        reference: That of its reference.
        fit: The setting `compare.fit`.
    """
    ours, theirs = video.shown_size, reference.shown_size
    if ours == theirs:
        return SizeFit(0, 0, theirs, 1.0, 1.0)
    sizes = f"its frames have {ours.width}x{ours.height} pixels, the reference's {theirs.width}x{theirs.height}"
    if fit == "off":
        return f"{sizes}, and compare.fit is off"
    ratio = _shape(video) / _shape(reference)
    left, top, width, height = 0, 0, theirs.width, theirs.height
    if abs(ratio - 1) > _SAME_SHAPE:
        if fit == "scale":
            return f"{sizes}: another shape. --set compare.fit=crop compares it with the reference's middle"
        width, height = (round(width * ratio), height) if ratio < 1 else (width, round(height / ratio))
        left, top = (theirs.width - width) // 2, (theirs.height - height) // 2
    return SizeFit(left, top, Size(width, height), width / ours.width, height / ours.height)


def _shape(canvas: Canvas) -> float:
    size = canvas.shown_size
    return size.width * canvas.aspect / size.height
