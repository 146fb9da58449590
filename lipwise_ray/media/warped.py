"""Resampling of small images to rectangles of planes in which they are tilted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.region import KERNEL_FLAGS
from lipwise_ray.media.upright import without_edges
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

    def image(self, planes: F32Array, kernel: Kernel) -> Sequence[F32Array]:
        """Return the samples of planes of an image, shape (H, W) each.

        Args:
            planes: With edges, shape (rows, planes, columns); past these the edge repeats.
            kernel: Kernel by which they are resampled.
        """
        # OpenCV's sums of the cubic kernel do not depend on the width, but those of the linear one do.
        size = (self._needed if kernel == "cubic" else self._size[0]), self._size[1]
        flags, edge = KERNEL_FLAGS[kernel], cv2.BORDER_REPLICATE
        return [
            np.asarray(cv2.warpAffine(plane, self._affine, size, flags=flags, borderMode=edge), np.float32)
            for plane in without_edges(planes).swapaxes(0, 1)
        ]

    def opacity(self, weight: F32Array) -> F32Array:
        """Return the samples of a mask with edges by the linear kernel, shape (H, W); past those there is nothing."""
        made = cv2.warpAffine(without_edges(weight), self._affine, self._size, flags=cv2.INTER_LINEAR, borderValue=0)
        return np.asarray(made, np.float32)
