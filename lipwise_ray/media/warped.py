"""Resampling of small images to rectangles of planes in which they are tilted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.region import KERNEL_FLAGS
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from lipwise_ray.media.region import Kernel, PlanePart


class WarpedGrid:
    """Samples of a rectangle of a plane, as an image that is laid over it has them.

    Args:
        to_plane: Map from the image's pixel numbers to the plane's, shape (2, 3).
        whole: Rows and columns of what may change, and of what surrounds it.
        changed: Those of what may change.
        has_margin: The surroundings are needed on all sides, not only above and to the left.
    """

    def __init__(self, to_plane: F64Array, whole: PlanePart, changed: PlanePart, has_margin: bool) -> None:  # noqa: FBT001  # mapped over
        (rows, columns), (changed_rows, changed_columns) = whole, changed
        self.window = slice(rows.start, (rows if has_margin else changed_rows).stop), columns
        self._affine = to_plane - np.array([[0, 0, columns.start], [0, 0, rows.start]])
        self._size = columns.stop - columns.start, self.window[0].stop - rows.start
        self._needed = self._size[0] if has_margin else changed_columns.stop - columns.start

    def image(self, plane: F32Array, kernel: Kernel) -> F32Array:
        """Return the samples of an image's plane of shape (S, S); past its edge the edge repeats."""
        # OpenCV's sums of the cubic kernel do not depend on the width, but those of the linear one do.
        size = (self._needed if kernel == "cubic" else self._size[0]), self._size[1]
        made = cv2.warpAffine(plane, self._affine, size, flags=KERNEL_FLAGS[kernel], borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(made, np.float32)

    def opacity(self, weight: F32Array) -> F32Array:
        """Return the samples of a mask of shape (S, S) by the linear kernel; past its edge there is nothing."""
        made = cv2.warpAffine(weight, self._affine, self._size, flags=cv2.INTER_LINEAR, borderValue=0)
        return np.asarray(made, np.float32)
