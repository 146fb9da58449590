"""Luma of a region of a frame as it is stored, not resampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.media.area_average import repeated
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.region import FIRST_EDGE, Canvas, compose, is_upright, plane_map
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def stored_luma(frame: VideoFrame, canvas: Canvas, to_shown: F64Array, size_px: int) -> F32Array | None:
    """Return the samples of luma whose centres lie in a region, turned as its image is; None where it leans.

    Args:
        frame: A planar YUV frame of the canvas's format.
        canvas: The video's geometry and colours.
        to_shown: Affine map from the region's image to the shown frame, shape (2, 3).
        size_px: Side of that image.

    Returns:
        In levels of 255, shape (rows, columns). Past the frame's edge the edge repeats.
    """
    to_plane = plane_map(compose(canvas.to_stored(), to_shown), 0, 0)
    if not is_upright(to_plane):
        return None
    corners = np.array([[FIRST_EDGE, size_px + FIRST_EDGE]] * 2 + [[1, 1]], np.float64)
    # The numbers of the first samples after the edges.
    (x0, x1), (y0, y1) = np.rint(to_plane @ corners - FIRST_EDGE).astype(int).tolist()
    columns, rows = slice(min(x0, x1), max(x0, x1)), slice(min(y0, y1), max(y0, y1))
    part = repeated(plane_array(frame, 0), rows, columns)[:: 1 if y0 < y1 else -1, :: 1 if x0 < x1 else -1]
    turned = part.T if to_plane[0, 0] == 0 else part
    return turned.astype(np.float32) / np.float32(1 << (canvas.format.bits - 8))
