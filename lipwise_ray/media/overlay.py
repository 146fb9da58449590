"""Laying a small BGR image over a quadrilateral of a frame, in the frame's own format.

Each plane is resampled by itself, as `region` reads it. Nothing outside the region is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.blending import blend
from lipwise_ray.media.grain import Grain, around, noise_of, with_grain
from lipwise_ray.media.pixels import plane_array, plane_arrays, yuv_from_bgr
from lipwise_ray.media.region import (
    FIRST_EDGE,
    NOISE_MARGIN_PX,
    SMALLER,
    Canvas,
    Kernel,
    PlanePart,
    bounds,
    compose,
    inverted,
    is_upright,
    plane_map,
    rectangle,
    scale_of,
    shown_part,
    shrunk,
    touched,
)
from lipwise_ray.media.upright import UprightGrid, upright_grids
from lipwise_ray.media.warped import WarpedGrid
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
    yuv = cv2.transform(image_bgr, np.column_stack([matrix, offset]))
    planes = np.ascontiguousarray(yuv.transpose(2, 0, 1), np.float32)
    peak = float((1 << canvas.format.bits) - 1)
    shifts = [canvas.format.shifts(plane) for plane in range(canvas.format.planes)]
    targets = plane_arrays(frame, canvas.format.planes)
    seats = _seats(to_stored, dict(zip(shifts, targets, strict=True)), weight, size_px, shifts[0] if grain else None)
    for plane, (own, target) in enumerate(zip(shifts, targets, strict=True)):
        seat = seats.get(own)
        if seat is None:
            continue
        fresh = seat.grid.image(planes[plane], kernel)
        if grain is not None and not plane:
            fresh = with_grain(fresh, seat.alpha, peak, grain, seat.top, seat.left)
        black = float(offset[0]) if linear_light and not plane else None
        blend(target[seat.changed], fresh[seat.inner], seat.alpha[seat.inner], peak=peak, black=black)


@dataclass(frozen=True, slots=True)
class _Seat:
    """Part of a plane that an image is laid over, and what lies around it.

    Attributes:
        grid: Samples of the part with its surroundings.
        alpha: Opacity there, shape (H, W).
        top: Row of its first sample in the plane.
        left: Its column.
        changed: Rows and columns of the plane that change.
        inner: Where these are in `alpha`.
    """

    grid: UprightGrid | WarpedGrid
    alpha: F32Array
    top: int
    left: int
    changed: PlanePart
    inner: PlanePart


def _seats(
    to_stored: F64Array,
    targets: Mapping[tuple[int, int], PixelArray],
    weight: F32Array | None,
    size_px: int,
    with_margin: tuple[int, int] | None,
) -> dict[tuple[int, int], _Seat]:
    """Return the parts of planes that an image changes by their subsampling, those alone of which it changes anything.

    Args:
        to_stored: Map from the image to the stored frame, shape (2, 3).
        targets: The planes; of those that are subsampled alike one.
        weight: The image's opacity, shape (size_px, size_px); None where it overwrites all.
        size_px: Its side.
        with_margin: Subsampling of planes whose noise is to be measured by what surrounds the part.
    """
    part = (0, size_px - 1, 0, size_px - 1) if weight is None else shown_part(weight)
    if part is None:
        return {}
    maps, wholes, changes = dict[tuple[int, int], F64Array](), list[PlanePart](), list[PlanePart]()
    for own, target in targets.items():
        to_plane = plane_map(to_stored, *own)
        edges = bounds(to_plane, part)
        whole, changed = rectangle(edges, target, NOISE_MARGIN_PX), rectangle(edges, target)
        if whole is not None and changed is not None:
            maps[own] = to_plane
            wholes.append(whole)
            changes.append(changed)
    if not maps:
        return {}
    # An image that overwrites all ends where the places of samples, counted from the margin, say.
    margins = [weight is None or own == with_margin for own in maps]
    if is_upright(to_stored):
        windows = [whole if has else changed for whole, changed, has in zip(wholes, changes, margins, strict=True)]
        grids = upright_grids(list(maps.values()), windows, size_px)
    else:
        grids = list(map(WarpedGrid, maps.values(), wholes, changes, margins))
        windows = [grid.window for grid in grids]
    seats: dict[tuple[int, int], _Seat] = {}
    for (own, to_plane), changed, window, grid in zip(maps.items(), changes, windows, grids, strict=True):
        top, left = (one.start for one in window)
        if weight is None:
            extent = window[1].stop - left, window[0].stop - top
            alpha = _covered(to_plane - np.array([[0, 0, left], [0, 0, top]]), extent, size_px)
        else:
            alpha = grid.opacity(weight)
            np.minimum(alpha, 1, out=alpha)
        inner = (
            slice(changed[0].start - top, changed[0].stop - top),
            slice(changed[1].start - left, changed[1].stop - left),
        )
        seats[own] = _Seat(grid, alpha, top, left, changed, inner)
    return seats


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
