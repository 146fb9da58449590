"""Orientation of stored frames: rotated, mirrored, or laid out by any other linear map."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from lipwise_ray.values import F64Array, Rotation, Size, U8Array

if TYPE_CHECKING:
    from lipwise_ray.values import PixelArray

Matrix = tuple[int, ...]
"""A display matrix as ISO/IEC 14496-12 stores it: a, b, u, c, d, v, x, y, w; u, v and w in 2.30, the rest in 16.16."""

_ONE, _W = 1 << 16, 1 << 30
_BYTES = 36
_NEAR = 0.02
"""Maps that differ from a rotation by a right angle or a mirror by less than this are taken for one."""

_FLAT = 0.05
"""Maps whose frame would be thinner than this share of its length show nothing; players ignore them."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """The linear map from the stored to the shown frame, rows downwards; how large it is shown does not count.

    ``shown_x = xx * x + xy * y`` and ``shown_y = yx * x + yy * y``, moved so that the shown frame begins at 0.
    """

    xx: float = 1.0
    xy: float = 0.0
    yx: float = 0.0
    yy: float = 1.0

    @staticmethod
    def clockwise(degrees: Rotation) -> Orientation:
        """Return a rotation."""
        cos, sin = {0: (1.0, 0.0), 90: (0.0, 1.0), 180: (-1.0, 0.0), 270: (0.0, -1.0)}[degrees]
        return Orientation(cos, -sin, sin, cos)

    @staticmethod
    def of(matrix: Matrix | None) -> Orientation:
        """Return the map of a display matrix; scales are left out, as containers state them as the pixel's aspect."""
        if matrix is None:
            return UPRIGHT
        linear = np.array([[matrix[0], matrix[3]], [matrix[1], matrix[4]]], np.float64) / _ONE
        lengths = np.hypot(linear[:, 0], linear[:, 1])
        if not lengths.all():
            return UPRIGHT
        linear /= lengths[:, None]
        if abs(np.linalg.det(linear)) < _FLAT:
            return UPRIGHT
        whole = np.rint(linear)
        if np.abs(linear - whole).max() < _NEAR:
            linear = whole + 0.0  # no -0.0
        return Orientation(*(float(value) for value in linear.ravel()))

    @property
    def linear(self) -> F64Array:
        """The map, shape (2, 2)."""
        return np.array([[self.xx, self.xy], [self.yx, self.yy]], np.float64)

    @property
    def is_straight(self) -> bool:
        """True where rows and columns stay rows and columns: turned by right angles, mirrored, or neither."""
        return {abs(self.xx), abs(self.xy)} == {0.0, 1.0} and {abs(self.yx), abs(self.yy)} == {0.0, 1.0}

    @property
    def is_orthogonal(self) -> bool:
        """True for a rotation by any angle, mirrored or not."""
        return bool(np.abs(self.linear @ self.linear.T - np.eye(2)).max() < _NEAR)

    def is_like(self, other: Orientation) -> bool:
        """Tell whether both show a frame in the same way, as closely as containers state angles."""
        return bool(np.abs(self.linear - other.linear).max() < _NEAR)

    @property
    def swaps(self) -> bool:
        """True where rows become columns."""
        return self.is_straight and self.xx == 0

    @property
    def rotation(self) -> Rotation:
        """The rotation nearest to it, in degrees clockwise; a mirror is left out."""
        turned = np.degrees(np.arctan2(self.yx, self.xx if self.xx * self.yy - self.xy * self.yx > 0 else -self.xx))
        return cast("Rotation", round(float(turned) / 90) * 90 % 360)

    @property
    def is_mirrored(self) -> bool:
        """True where left and right change places."""
        return self.xx * self.yy - self.xy * self.yx < 0

    def turned(self, degrees: Rotation) -> Orientation:
        """Return the orientation of a frame that is rotated further, clockwise."""
        linear = Orientation.clockwise(degrees).linear @ self.linear + 0.0
        return Orientation(*(float(value) for value in linear.ravel()))

    def matrix(self, size: Size) -> Matrix:
        """Return the display matrix that shows a stored frame of that size so, from 0 on."""
        corners = self.linear @ np.array([[0, size.width, 0, size.width], [0, 0, size.height, size.height]])
        x, y = -corners.min(axis=1)
        return tuple(round(value) for value in (*_scaled(self), x * _ONE, y * _ONE, _W))

    def upright(self, image: U8Array | PixelArray) -> U8Array:
        """Return a small stored frame as it is shown, shape (H, W) or (H, W, 3); tilted, it has black around it."""
        if self.is_straight:
            rows, columns = (self.yx, self.xy) if self.swaps else (self.yy, self.xx)
            image = image.swapaxes(0, 1) if self.swaps else image
            return np.ascontiguousarray(image[:: int(rows), :: int(columns)])
        height, width = image.shape[:2]
        corners = self.linear @ np.array([[0, width, 0, width], [0, 0, height, height]])
        low, high = corners.min(axis=1), corners.max(axis=1)
        centre = self.linear @ np.array([0.5, 0.5]) - low - 0.5
        extent = tuple(int(side) for side in np.ceil(high - low - _NEAR))
        shown = cv2.warpAffine(image, np.column_stack([self.linear, centre]), extent, flags=cv2.INTER_LINEAR)
        return cast("U8Array", shown)


UPRIGHT = Orientation()


def _scaled(orientation: Orientation) -> tuple[float, ...]:
    plain = orientation
    return plain.xx * _ONE, plain.yx * _ONE, 0, plain.xy * _ONE, plain.yy * _ONE, 0


def read_matrix(data: bytes) -> Matrix | None:
    """Return a display matrix from FFmpeg's side data, None where it is no matrix or changes nothing."""
    if len(data) != _BYTES:
        return None
    matrix: Sequence[int] = struct.unpack("=9i", data)
    return None if tuple(matrix[:6]) == (_ONE, 0, 0, 0, _ONE, 0) else tuple(matrix)
