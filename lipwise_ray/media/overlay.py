"""Laying a small BGR image over a quadrilateral of a frame, in the frame's own format.

Each plane is resampled by itself, as `region` reads it. Nothing outside the region is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from lipwise_ray.media.upright import UprightGrid, upright_grids, with_edges
from lipwise_ray.media.warped import WarpedGrid
from lipwise_ray.values import F32Array, F64Array, PixelArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class RegionLayer:
    """A small image to blend into a region of a frame.

    Attributes:
        frame: A planar YUV frame that nobody else refers to.
        to_shown: Affine map from the image to the shown frame, shape (2, 3).
        image_bgr: BGR in [0, 1], shape (S, S, 3).
        weight: Opacity in [0, 1], shape (S, S); None overwrites the whole region.
        grain: Grain that the new luma is to have.
    """

    frame: VideoFrame
    to_shown: F64Array
    image_bgr: F32Array
    weight: F32Array | None
    grain: Grain | None = None


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
    layer = RegionLayer(frame, to_shown, image_bgr, weight, grain)
    write_regions(canvas, [layer], kernel=kernel, linear_light=linear_light)


def write_regions(
    canvas: Canvas, layers: Sequence[RegionLayer], *, kernel: Kernel = "cubic", linear_light: bool = False
) -> None:
    """Blend images into their frames, in place, in the order in which they come.

    Where they lie is found for all at once, which costs less than for each; no bit of one depends on the others.

    Args:
        canvas: As for `write_region`.
        layers: The images.
        kernel: As for `write_region`.
        linear_light: The same.
    """
    patches = [_fitted(canvas, layer, kernel) for layer in layers]
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
    to_yuv, peak = np.column_stack([matrix, offset]), float((1 << canvas.format.bits) - 1)
    for patch, seats in zip(patches, _seats(canvas, patches), strict=True):
        yuv = cv2.transform(with_edges(patch.image_bgr, cv2.BORDER_REPLICATE), to_yuv)
        planes = np.ascontiguousarray(yuv.transpose(0, 2, 1), np.float32)
        weight = None if patch.weight is None else with_edges(patch.weight, cv2.BORDER_CONSTANT)
        for seat in seats:
            alpha = seat.opacity(weight, len(patch.image_bgr))
            fresh = list(seat.grid.image(planes[:, seat.spot.planes], kernel))
            if not seat.spot.planes.start and patch.grain is not None:
                fresh[0] = with_grain(fresh[0], alpha, peak, patch.grain, *seat.corner)
            for plane, samples in zip(range(3)[seat.spot.planes], fresh, strict=True):
                black = float(offset[0]) if linear_light and not plane else None
                window = patch.targets[plane][seat.spot.changed]
                blend(window, samples[seat.inner], alpha[seat.inner], peak=peak, black=black)


@dataclass(frozen=True, slots=True)
class _FittedImage:
    """An image as it is laid: made smaller first where one that is not would lose pixels.

    Attributes:
        targets: The planes that it changes, luma first.
        to_stored: Map from the image to the stored frame, shape (2, 3).
        image_bgr: BGR in [0, 1], shape (S, S, 3).
        weight: Its opacity, shape (S, S); None where it overwrites all.
        grain: Grain that the new luma is to have.
    """

    targets: Sequence[PixelArray]
    to_stored: F64Array
    image_bgr: F32Array
    weight: F32Array | None
    grain: Grain | None


def _fitted(canvas: Canvas, layer: RegionLayer, kernel: Kernel) -> _FittedImage:
    layer.frame.opaque = None  # planes that it has on a device are not written to here
    to_stored, image_bgr, weight = compose(canvas.to_stored(), layer.to_shown), layer.image_bgr, layer.weight
    scale = scale_of(to_stored)
    if kernel == "cubic" and scale < SMALLER:
        side = max(2, round(len(image_bgr) * scale))
        to_stored = to_stored * np.array([len(image_bgr) / side, len(image_bgr) / side, 1])
        image_bgr, weight = shrunk(image_bgr, side), None if weight is None else shrunk(weight, side)
    return _FittedImage(plane_arrays(layer.frame, canvas.format.planes), to_stored, image_bgr, weight, layer.grain)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Part of planes that are subsampled alike that an image changes.

    Attributes:
        planes: Numbers of the planes.
        to_plane: Map from the image's pixel numbers to theirs, shape (2, 3).
        changed: Rows and columns that change.
        whole: These, and what lies around them.
        has_margin: What lies around them is needed.
    """

    planes: slice
    to_plane: F64Array
    changed: PlanePart
    whole: PlanePart
    has_margin: bool


@dataclass(frozen=True, slots=True)
class _Seat:
    """A spot with the places of its samples in the image that is laid over it."""

    spot: _Spot
    grid: UprightGrid | WarpedGrid

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the first sample."""
        rows, columns = self.grid.window
        return rows.start, columns.start

    @property
    def inner(self) -> PlanePart:
        """Rows and columns of the grid that change."""
        rows, columns = (
            slice(part.start - first, part.stop - first)
            for part, first in zip(self.spot.changed, self.corner, strict=True)
        )
        return rows, columns

    def opacity(self, weight: F32Array | None, size_px: int) -> F32Array:
        """Return the opacity of the grid's samples.

        Args:
            weight: That of the image, with edges; None where it overwrites all.
            size_px: The image's side.
        """
        if weight is not None:
            alpha = self.grid.opacity(weight)
            return np.minimum(alpha, 1, out=alpha)
        (top, left), (rows, columns) = self.corner, self.grid.window
        extent = columns.stop - left, rows.stop - top
        return _covered(self.spot.to_plane - np.array([[0, 0, left], [0, 0, top]]), extent, size_px)


def _spots(canvas: Canvas, patch: _FittedImage) -> Iterator[_Spot]:
    """Yield the parts of planes that an image changes, if it changes anything of any."""
    side, count = len(patch.image_bgr), canvas.format.planes
    part = (0, side - 1, 0, side - 1) if patch.weight is None else shown_part(patch.weight)
    if part is None:
        return
    is_subsampled = canvas.format.shifts(0) != canvas.format.shifts(1)
    for planes in (slice(0, 1), slice(1, count)) if is_subsampled else (slice(0, count),):
        to_plane = plane_map(patch.to_stored, *canvas.format.shifts(planes.start))
        edges, target = bounds(to_plane, part), patch.targets[planes.start]
        whole, changed = rectangle(edges, target, NOISE_MARGIN_PX), rectangle(edges, target)
        if whole is not None and changed is not None:
            # An image that overwrites all ends where the places of samples, counted from the margin, say.
            has_margin = patch.weight is None or (patch.grain is not None and not planes.start)
            yield _Spot(planes, to_plane, changed, whole, has_margin)


def _seats(canvas: Canvas, patches: Sequence[_FittedImage]) -> list[list[_Seat]]:
    """Return the seats of images: the grids of all that are upright are made together."""
    spots = [(patch, spot) for patch in patches for spot in _spots(canvas, patch)]
    upright = [(patch, spot) for patch, spot in spots if is_upright(patch.to_stored)]
    grids = iter(
        upright_grids(
            [spot.to_plane for _, spot in upright],
            [spot.whole if spot.has_margin else spot.changed for _, spot in upright],
            [len(patch.image_bgr) for patch, _ in upright],
        )
    )
    seats: dict[int, list[_Seat]] = {id(patch): [] for patch in patches}
    for patch, spot in spots:
        is_warped = not is_upright(patch.to_stored)
        grid = WarpedGrid(spot.to_plane, spot.whole, spot.changed, spot.has_margin) if is_warped else next(grids)
        seats[id(patch)].append(_Seat(spot, grid))
    return list(seats.values())


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
