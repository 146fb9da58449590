"""Laying a small BGR image over a quadrilateral of a frame, in the frame's own format.

Each plane is resampled by itself, as `region` reads it. Nothing outside the region is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.blending import blend
from lipwise_ray.media.grain import Grain, around, noise_of, with_grain
from lipwise_ray.media.pixels import plane_array, yuv_from_bgr
from lipwise_ray.media.region import (
    FIRST_EDGE,
    KERNEL_FLAGS,
    NOISE_MARGIN_PX,
    SMALLER,
    Canvas,
    Kernel,
    bounds,
    compose,
    inverted,
    plane_map,
    rectangle,
    scale_of,
    shown_part,
    shrunk,
    touched,
)
from lipwise_ray.values import F32Array, F64Array, PixelArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def write_region(
    frame: VideoFrame,
    canvas: Canvas,
    to_shown: F64Array,
    image_bgr: F32Array,
    weight: F32Array | None,
    *,
    kernel: Kernel = "cubic",
    linear_light: bool = False,
    grain: Grain | None = None,
) -> None:
    """Blend a small image into a region of a frame, in place.

    Args:
        frame: A planar YUV frame that nobody else refers to.
        canvas: The video's geometry and colours.
        to_shown: Affine map from the image to the shown frame, shape (2, 3).
        image_bgr: BGR in [0, 1], shape (S, S, 3).
        weight: Opacity in [0, 1], shape (S, S); None overwrites the whole region.
        kernel: Kernel by which the image is resampled; the opacity is always resampled linearly.
        linear_light: Mix luma as light adds up, not as it is stored.
        grain: Grain that the new luma is to have.
    """
    frame.opaque = None  # planes that it has on a device are not written to here
    to_stored = compose(canvas.to_stored(), to_shown)
    scale = scale_of(to_stored)
    if kernel == "cubic" and scale < SMALLER:
        side = max(2, round(len(image_bgr) * scale))
        to_stored = to_stored * np.array([len(image_bgr) / side, len(image_bgr) / side, 1])
        image_bgr, weight = shrunk(image_bgr, side), None if weight is None else shrunk(weight, side)
    size_px = image_bgr.shape[0]
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
    yuv = cv2.split(cv2.transform(image_bgr, np.column_stack([matrix, offset])))
    peak = float((1 << canvas.format.bits) - 1)
    seats: dict[tuple[int, int], _Seat | None] = {}
    for plane in range(canvas.format.planes):
        target, shifts = plane_array(frame, plane), canvas.format.shifts(plane)
        own_grain = None if plane else grain
        if shifts not in seats:
            seats[shifts] = _seat(plane_map(to_stored, *shifts), weight, size_px, target, has_margin=bool(own_grain))
        seat = seats[shifts]
        if seat is None:
            continue
        fresh = np.asarray(
            cv2.warpAffine(
                yuv[plane],
                seat.affine,
                seat.extent(kernel),
                flags=KERNEL_FLAGS[kernel],
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )
        if own_grain is not None:
            fresh = with_grain(fresh, seat.alpha, peak, own_grain, seat.top, seat.left)
        black = float(offset[0]) if linear_light and not plane else None
        blend(target[seat.rows, seat.columns], fresh[seat.inner], seat.alpha[seat.inner], peak=peak, black=black)


@dataclass(frozen=True, slots=True)
class _Seat:
    """Part of a plane that an image is laid over, and what lies around it.

    Attributes:
        affine: Map from the image's pixel numbers to those of the part with its surroundings, shape (2, 3).
        alpha: Opacity there, shape (H, W).
        top: Row of its first sample in the plane.
        left: Its column.
        rows: Rows of the plane that change.
        columns: Columns that do.
        inner: Where these are in `alpha`.
        has_margin: True where the surroundings are needed on all sides, False where those below and beside are not.
    """

    affine: F64Array
    alpha: F32Array
    top: int
    left: int
    rows: slice
    columns: slice
    inner: tuple[slice, slice]
    has_margin: bool

    def extent(self, kernel: Kernel) -> tuple[int, int]:
        """Return the width and height to resample to, so that samples are what they would be in the whole of it.

        OpenCV's sums of the cubic kernel do not depend on the width, but those of the linear one do.
        """
        height, width = self.alpha.shape
        return (width if self.has_margin or kernel == "linear" else self.inner[1].stop), height


def _seat(
    to_plane: F64Array, weight: F32Array | None, size_px: int, target: PixelArray, *, has_margin: bool
) -> _Seat | None:
    """Return the part of a plane that an image changes, None where it changes nothing.

    Args:
        to_plane: Map from the image's pixel numbers to the plane's, shape (2, 3).
        weight: Its opacity, shape (size_px, size_px); None where it overwrites all.
        size_px: Its side.
        target: The plane.
        has_margin: Noise is to be measured by what surrounds it.
    """
    part = (0, size_px - 1, 0, size_px - 1) if weight is None else shown_part(weight)
    if part is None:
        return None
    edges = bounds(to_plane, part)
    whole, changed = rectangle(edges, target, NOISE_MARGIN_PX), rectangle(edges, target)
    if whole is None or changed is None:
        return None
    (top, left), (rows, columns) = (one.start for one in whole), changed
    shifted = to_plane - np.array([[0, 0, left], [0, 0, top]])
    extent = (whole[1].stop - left, (whole[0] if has_margin else rows).stop - top)
    if weight is None:
        alpha = _covered(shifted, extent, size_px)
    else:
        alpha = np.asarray(cv2.warpAffine(weight, shifted, extent, flags=cv2.INTER_LINEAR, borderValue=0), np.float32)
        np.minimum(alpha, 1, out=alpha)
    inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return _Seat(shifted, alpha, top, left, rows, columns, inner, has_margin)


def noise_around(frame: VideoFrame, canvas: Canvas, to_shown: F64Array, weight: F32Array) -> float | None:
    """Return the deviation of the fine noise of a frame's luma where a mask fades out, None where that is too small.

    Args:
        frame: As for `write_region`.
        canvas: The same.
        to_shown: The same.
        weight: Opacity in [0, 1], shape (S, S).
    """
    target = plane_array(frame, 0)
    to_plane = plane_map(compose(canvas.to_stored(), to_shown), 0, 0)
    window = touched(to_plane, shown_part(weight), target)
    if window is None:
        return None
    rows, columns = window
    shifted = to_plane - np.array([[0, 0, columns.start], [0, 0, rows.start]])
    extent = (columns.stop - columns.start, rows.stop - rows.start)
    alpha = np.asarray(cv2.warpAffine(weight, shifted, extent, flags=cv2.INTER_LINEAR, borderValue=0), np.float32)
    return noise_of(target[rows, columns].astype(np.float32), around(alpha))


def _covered(to_plane: F64Array, extent: tuple[int, int], size_px: int) -> F32Array:
    """Return 1 where a pixel's centre lies in a crop and 0 elsewhere; one on its left or upper edge does.

    Args:
        to_plane: Map from the crop's pixel numbers to the plane's, shape (2, 3).
        extent: Width and height of the part of the plane.
        size_px: Side of the crop.
    """
    inverse = inverted(to_plane)
    x, y = np.arange(extent[0]), np.arange(extent[1])[:, None]
    within = np.ones((), np.bool_)
    for along_x, along_y, offset in inverse:
        # Terms that are 0 are left out, so that an upright crop needs a row and a column alone.
        place = offset + (along_y * y if along_y else 0) + (along_x * x if along_x else 0)
        within = within & (place >= FIRST_EDGE) & (place < size_px + FIRST_EDGE)
    return np.broadcast_to(within, extent[::-1]).astype(np.float32)
