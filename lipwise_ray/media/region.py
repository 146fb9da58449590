"""A quadrilateral of a frame as a small BGR image, without converting the frame; `overlay` brings one back.

Resampling and colour conversion are both linear, so each plane is resampled by itself and only
the small image is converted. Nothing outside the region is read or converted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from lipwise_ray.media.area_average import area_averages
from lipwise_ray.media.orientation import UPRIGHT, Orientation
from lipwise_ray.media.pixels import PixelFormat, bgr_from_yuv, plane_arrays
from lipwise_ray.values import ColorTags, F32Array, F64Array, PixelArray, Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


Kernel = Literal["cubic", "linear"]
"""Kernels by which images are resampled. A face that goes to the network and back loses a third of its fine detail by
``linear``, and little by ``cubic``."""

SMALLER = 0.8
"""Images that are made smaller than this share are averaged first: a kernel alone would skip pixels."""

_MOST_AVERAGED = 8

NOISE_MARGIN_PX = 8
"""Pixels around a part by which its noise is measured."""

_ROUNDING = 1e-3

FIRST_EDGE = -0.5
"""Pixel number of the left and upper edge of an image, and how far its right and lower one are before its size."""

KERNEL_FLAGS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}
"""OpenCV's numbers of the kernels."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Geometry and colours of a video's stored frames: all that a region needs."""

    size: Size
    format: PixelFormat
    color: ColorTags
    orientation: Orientation = UPRIGHT
    sample_aspect: float = 1.0
    """Width of a stored pixel over its height."""

    @property
    def aspect(self) -> float:
        """Width of a shown pixel over its height; where the frame is tilted, shown pixels are square."""
        if not self.orientation.is_straight:
            return 1.0
        return 1 / self.sample_aspect if self.orientation.swaps else self.sample_aspect

    @property
    def shown_size(self) -> Size:
        """Size as it is shown."""
        extent = np.ceil(np.ptp(self._corners(), axis=1) - _ROUNDING)
        return Size(int(extent[0]), int(extent[1]))

    def _linear(self) -> F64Array:
        """Return the map from stored to shown directions."""
        linear = self.orientation.linear
        return linear if self.orientation.is_straight else linear @ np.diag([self.sample_aspect, 1.0])

    def _corners(self) -> F64Array:
        width, height = self.size.width, self.size.height
        return self._linear() @ np.array([[0, width, 0, width], [0, 0, height, height]], np.float64)

    def to_stored(self) -> F64Array:
        """Return the (2, 3) affine map from shown to stored frame coordinates (pixels, corner origin), read-only."""
        return _to_stored(self)

    def unshown(self) -> F64Array:
        """Return the map of `to_stored`, computed anew."""
        back = np.asarray(np.linalg.inv(self._linear()), np.float64)
        return np.column_stack([back, back @ self._corners().min(axis=1)]) + 0.0


@lru_cache(maxsize=16)
def _to_stored(canvas: Canvas) -> F64Array:
    """Return the map of a canvas: every region of its video asks for it."""
    affine = canvas.unshown()
    affine.flags.writeable = False
    return affine


def box_to_shown(
    box_xyxy: F32Array | F64Array, size_px: int, turn_degrees: float = 0.0, aspect: float = 1.0
) -> F64Array:
    """Return the (2, 3) affine map from a square crop of `size_px` to the box in the shown frame.

    Args:
        box_xyxy: left, top, right, bottom.
        size_px: Side of the crop.
        turn_degrees: The box is turned clockwise about its centre by so much.
        aspect: Width of a shown pixel over its height.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    upright = np.array([[(x1 - x0) / size_px, 0, x0], [0, (y1 - y0) / size_px, y0]], np.float64)
    if not turn_degrees:
        return upright
    cos, sin = np.cos(np.radians(turn_degrees)), np.sin(np.radians(turn_degrees))
    linear, centre = np.array([[cos, -sin / aspect], [sin * aspect, cos]]), np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return compose(np.column_stack([linear, centre - linear @ centre]), upright)


def compose(outer: F64Array, inner: F64Array) -> F64Array:
    """Return the affine map that applies `inner`, then `outer`.

    Args:
        outer: Shape (2, 3).
        inner: Shape (2, 3).
    """
    whole = np.empty((2, 3), np.float64)
    whole[:, :2] = outer[:, :2] @ inner[:, :2]
    whole[:, 2] = outer[:, :2] @ inner[:, 2] + outer[:, 2]
    return whole


def pixel_map(affine: F64Array) -> F64Array:
    """Return an affine map of frame coordinates (corner origin) as one of pixel numbers, as OpenCV counts."""
    (xx, xy, x), (yx, yy, y) = affine.tolist()
    rows = [[xx, xy, (0.5 * xx + 0.5 * xy) + x - 0.5], [yx, yy, (0.5 * yx + 0.5 * yy) + y - 0.5]]
    return np.array(rows, np.float64)


def plane_map(to_stored: F64Array, shift_x: int, shift_y: int) -> F64Array:
    """Return the map from crop pixel numbers to the pixel numbers of a plane.

    Chroma is sited on the left luma column and between luma rows, as H.264 and MPEG-2 have it.
    """
    # Single numbers: six of them are dearer in arrays.
    step_x, step_y = 1 << shift_x, 1 << shift_y
    (xx, xy, x), (yx, yy, y) = to_stored.tolist()
    centre_x, centre_y = (0.5 * xx + 0.5 * xy) + x, (0.5 * yx + 0.5 * yy) + y
    rows = [
        [xx / step_x, xy / step_x, (centre_x - 0.5) / step_x],
        [yx / step_y, yy / step_y, centre_y / step_y - 0.5],
    ]
    return np.array(rows, np.float64)


def read_region(
    frame: VideoFrame,
    canvas: Canvas,
    to_shown: F64Array,
    size_px: int,
    *,
    kernel: Kernel = "cubic",
) -> F32Array:
    """Return a region of a frame as a small image.

    Args:
        frame: A planar YUV frame of the canvas's format.
        canvas: The video's geometry and colours.
        to_shown: Affine map from the crop to the shown frame, shape (2, 3).
        size_px: Side of the crop.
        kernel: Kernel by which the planes are resampled.

    Returns:
        BGR in [0, 1], shape (size_px, size_px, 3), float32. Past the frame's edge the edge repeats.
    """
    (crop,) = read_regions([frame], canvas, [to_shown], size_px, kernel=kernel)
    return crop


def read_regions(
    frames: Sequence[VideoFrame],
    canvas: Canvas,
    to_shown: Sequence[F64Array],
    size_px: int,
    *,
    quantize_8bit: bool = False,
    kernel: Kernel = "cubic",
) -> list[F32Array]:
    """Return regions of frames as small images: steps over all cost less than for each, and no bit depends on others.

    Args:
        frames: Planar YUV frames of the canvas's format, one a region.
        canvas: As for `read_region`.
        to_shown: The map of each.
        size_px: As for `read_region`.
        quantize_8bit: Round to 256 levels, as a network fed with 8-bit images has seen in training.
        kernel: As for `read_region`.
    """
    matrix, offset = bgr_from_yuv(canvas.color, canvas.size.height, canvas.format.bits)
    to_bgr = np.column_stack([matrix, -matrix @ offset])
    bgr = np.empty((len(frames), size_px, size_px, 3), np.float32)
    for own, crops in zip(bgr, _sampled(frames, canvas, to_shown, size_px, kernel, canvas.format.planes), strict=True):
        if len(crops) == 1:
            neutral = np.full_like(crops[0], 1 << (canvas.format.bits - 1))
            crops += [neutral, neutral]
        yuv = cv2.merge([crop.astype(np.float32, copy=False) for crop in crops])
        cv2.transform(yuv, to_bgr, own)
    np.clip(bgr, 0.0, 1.0, out=bgr)
    if quantize_8bit:
        bgr *= 255
        np.rint(bgr, out=bgr)
        bgr /= np.float32(255)
    return list(bgr)


def read_luma(frame: VideoFrame, canvas: Canvas, to_shown: F64Array, size_px: int) -> F32Array:
    """Return the luma of a region in levels of 255, shape (size_px, size_px); the arguments are `read_region`'s."""
    (luma,) = read_lumas([frame], canvas, [to_shown], size_px)
    return luma


def read_lumas(
    frames: Sequence[VideoFrame], canvas: Canvas, to_shown: Sequence[F64Array], size_px: int
) -> list[F32Array]:
    """Return the luma of regions as `read_luma`; the arguments are `read_regions`'."""
    unit = np.float32(1 << (canvas.format.bits - 8))
    return [luma.astype(np.float32) / unit for (luma,) in _sampled(frames, canvas, to_shown, size_px, "cubic", 1)]


def _sampled(
    frames: Sequence[VideoFrame],
    canvas: Canvas,
    to_shown: Sequence[F64Array],
    size_px: int,
    kernel: Kernel,
    planes: int,
) -> list[list[PixelArray]]:
    """Return a region of each frame, in each of so many planes as it is stored."""
    shifts = [canvas.format.shifts(plane) for plane in range(planes)]
    subsamplings = list(dict.fromkeys(shifts))  # of luma, and of the planes of colours
    maps = [compose(canvas.to_stored(), one) for one in to_shown]
    times = [oversampling(one, kernel) for one in maps]
    averaged = [number for number, one in enumerate(maps) if times[number] > 1 and is_upright(one)]
    plane_maps = [plane_map(maps[number], *own) for number in averaged for own in subsamplings]
    averages = iter(area_averages(np.array(plane_maps, np.float64).tobytes(), size_px) if averaged else ())
    crops: list[list[PixelArray]] = []
    for number, (frame, to_stored) in enumerate(zip(frames, maps, strict=True)):
        samples = plane_arrays(frame, planes)
        if number not in averaged:
            crops.append(_warped(samples, shifts, to_stored, size_px, kernel, times[number]))
            continue
        alike = [[plane for plane, own in zip(samples, shifts, strict=True) if own == one] for one in subsamplings]
        means = [np.maximum(one, 0) for some in alike for one in next(averages)(some)]
        crops.append([one.T for one in means] if to_stored[0, 0] == 0 else means)
    return crops


def _warped(
    samples: Sequence[PixelArray],
    shifts: Sequence[tuple[int, int]],
    to_stored: F64Array,
    size_px: int,
    kernel: Kernel,
    times: int,
) -> list[PixelArray]:
    """Return a region of planes, sampled so many times as densely in each direction and averaged."""
    side, finer = size_px * times, to_stored * np.array([1 / times, 1 / times, 1])
    crops = [
        cv2.warpAffine(
            plane,
            plane_map(finer, *own),
            (side, side),
            flags=KERNEL_FLAGS[kernel] | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for plane, own in zip(samples, shifts, strict=True)
    ]
    if times > 1:
        crops = [cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA) for crop in crops]
    return crops


def oversampling(to_stored: F64Array, kernel: Kernel) -> int:
    """Return the samples a pixel of a crop, in each direction, that are averaged so that none of the frame is skipped.

    Args:
        to_stored: Map from the crop to the stored frame, shape (2, 3).
        kernel: Kernel of the samples; only ``cubic`` ones are averaged.
    """
    return 1 if kernel == "linear" else min(_MOST_AVERAGED, max(1, int(scale_of(to_stored) / SMALLER)))


def is_upright(affine: F64Array) -> bool:
    """Tell whether a map of shape (2, 3) makes rows and columns of rows and columns, or of columns and rows."""
    (xx, xy), (yx, yy) = affine[:, :2]
    return bool((xy == yx == 0) or (xx == yy == 0))


def inverted(affine: F64Array) -> F64Array:
    """Return the inverse of an affine map of shape (2, 3)."""
    (a, b), (c, d) = affine[:, :2]
    linear = np.array([[d, -b], [-c, a]], np.float64) / (a * d - b * c) + 0.0
    return np.column_stack([linear, -(linear @ affine[:, 2])])


def shrunk(image: F32Array, side: int) -> F32Array:
    """Return a square image or mask at a smaller side, averaged."""
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def scale_of(affine: F64Array) -> float:
    """Return the factor by which a map of shape (2, 3) enlarges lengths: of a crop, the width of its pixels."""
    (xx, xy, _), (yx, yy, _) = affine.tolist()
    return math.sqrt(abs(xx * yy - xy * yx))


Extent = tuple[int, int, int, int]
PlanePart = tuple[slice, slice]
"""Rows and columns of a plane."""


def shown_part(opacity: F32Array) -> Extent | None:
    """Return the first and last column and row where a mask shows anything, None where it shows nothing."""
    left, top, width, height = cv2.boundingRect((opacity != 0).view(np.uint8))
    return (left, left + width - 1, top, top + height - 1) if width else None


def touched(to_plane: F64Array, extent: Extent | None, target: PixelArray) -> PlanePart | None:
    """Return the rows and columns of a plane that such a part of a crop can touch, None when there are none.

    They have a margin, because noise is measured by what surrounds it.
    """
    return None if extent is None else rectangle(bounds(to_plane, extent), target, NOISE_MARGIN_PX)


def bounds(to_plane: F64Array, extent: Extent) -> Extent:
    """Return the first column, the one after the last, and the same of the rows, that a part of a crop can touch.

    Args:
        to_plane: Map from the crop's pixel numbers to the plane's, shape (2, 3).
        extent: The part.
    """
    left, right, top, bottom = extent
    # Single numbers here too: the least and the most of a sum of terms are sums of each term's own.
    edges: list[int] = []
    for along_x, along_y, offset in to_plane.tolist():
        terms = (
            sorted((along_x * (left - 1), along_x * (right + 1))),
            sorted((along_y * (top - 1), along_y * (bottom + 1))),
        )
        least, most = (x + y + offset for x, y in zip(*terms, strict=True))
        edges += [math.floor(least), math.ceil(most) + 1]
    x0, x1, y0, y1 = edges
    return x0, x1, y0, y1


def rectangle(bounds: Extent, target: PixelArray, margin_px: int = 0) -> PlanePart | None:
    """Return the rows and columns of a plane within bounds and a margin, None when there are none.

    Args:
        bounds: The first column, the one after the last, and the same of the rows.
        target: The plane.
        margin_px: Pixels around.
    """
    x0, x1, y0, y1 = bounds
    rows = slice(max(0, y0 - margin_px), min(target.shape[0], y1 + margin_px))
    columns = slice(max(0, x0 - margin_px), min(target.shape[1], x1 + margin_px))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns
