"""Turning decoded frames into frames of ours: fitted, cropped, scaled, planar, writable; and small images."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.colours import is_rgb, means, recoloured, tag, tags_of, usual_matrix
from lipwise_ray.media.pixels import plane_array, working_format
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.region import Canvas
from lipwise_ray.values import ColorTags, PixelArray, Rotation, Size, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SLACK = 1e-6
_LEAST_SIDE_PX = 2  # of the smallest frame that encoders take
_BLACK, _NEUTRAL = 16, 128  # of 8 bits


@dataclass(frozen=True, slots=True)
class FrameRecipe:
    """Recipe by which decoded frames are prepared, before anything else sees them.

    A stream may change its size, format or colours as it goes on. What differs from the canvas is fitted into it, as
    large as it goes without distortion, in the middle of black; what does not differ stays as it is, sample by sample.

    Attributes:
        canvas: Geometry, format and colours of the resulting frames.
        crop: (left, top) of the part that is kept, in stored pixels after scaling.
        scaled: Size after scaling, before the crop.
        stored: Size before scaling.
        source_format: FFmpeg name of the format in which frames come.
        source_color: Meaning of their samples.
        deinterlace: Frames are to be read whole in place of two fields.
    """

    canvas: Canvas
    crop: tuple[int, int]
    scaled: Size
    stored: Size
    source_format: str
    source_color: ColorTags
    deinterlace: bool = False

    def is_plain(self, frame: VideoFrame) -> bool:
        """Tell whether a frame is like the stream's first one and as large as its largest."""
        return (
            (frame.width, frame.height) == (self.stored.width, self.stored.height)
            and _bare(frame.format.name) == _bare(self.source_format)
            and means(frame, self.source_color)
        )

    def keeps(self, frame: VideoFrame) -> bool:
        """Tell whether a decoded frame is of the canvas's format as it is, and lies in this machine's memory alone."""
        size = self.canvas.size
        return (
            frame.opaque is None
            and frame.format.name == self.canvas.format.name
            and (frame.width, frame.height) == (size.width, size.height)
            and size == self.scaled == self.stored
            and means(frame, self.canvas.color)
        )

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame of the canvas's format that may be written to; the input stays untouched."""
        target = self.canvas
        size = self._fitted_size(frame)
        is_other = (
            (frame.width, frame.height) != (size.width, size.height)
            or _bare(frame.format.name) != _bare(target.format.name)
            or not means(frame, target.color)
        )
        if is_other:
            frame = recoloured(frame, tags_of(frame), target.color, target.format.name, size)
        fresh = av.VideoFrame(target.size.width, target.size.height, target.format.name)
        # Where the frame lies in the canvas before the crop, and what of the canvas is kept.
        step_x, step_y = 1 << target.format.shift_x, 1 << target.format.shift_y
        left = (self.scaled.width - size.width) // 2 // step_x * step_x - self.crop[0]
        top = (self.scaled.height - size.height) // 2 // step_y * step_y - self.crop[1]
        is_whole = size == self.scaled
        for plane in range(len(fresh.planes)):
            shift_x, shift_y = target.format.shifts(plane)
            into = plane_array(fresh, plane)
            if not is_whole:
                into[:] = self._blank(plane)
            if plane < len(frame.planes):
                _lay(into, plane_array(frame, plane), left >> shift_x, top >> shift_y)
            else:  # a stretch without alpha is opaque
                opaque = np.full((size.height, size.width), (1 << target.format.bits) - 1, into.dtype)
                _lay(into, opaque, left, top)
        if not is_other and is_whole and target.size == self.scaled:
            # Planes that it has on a device are the copy's too. PyAV tells what it keeps by the address: not the same.
            fresh.opaque = copy(frame.opaque)
        return fresh

    def _blank(self, plane: int) -> int:
        """Return the sample of black; it is transparent where there is alpha."""
        unit = 1 << (self.canvas.format.bits - 8)
        if plane == 0:
            return 0 if self.canvas.color.full_range else _BLACK * unit
        return _NEUTRAL * unit if plane < self.canvas.format.planes else 0

    def _fitted_size(self, frame: VideoFrame) -> Size:
        """Return the size of a frame before the crop."""
        if (frame.width, frame.height) == (self.stored.width, self.stored.height):
            return self.scaled
        factor = min(self.scaled.width / frame.width, self.scaled.height / frame.height)
        sides = zip(
            (frame.width, frame.height),
            (self.scaled.width, self.scaled.height),
            (self.canvas.format.shift_x, self.canvas.format.shift_y),
            strict=True,
        )
        width, height = (
            most if abs(side * factor - most) < 1 << shift else max(1, round(side * factor) >> shift) << shift
            for side, most, shift in sides
        )
        return Size(width, height)


def _lay(into: PixelArray, plane: PixelArray, left: int, top: int) -> None:
    """Copy a plane into another one at a place that may lie outside."""
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(into.shape[1], left + plane.shape[1]), min(into.shape[0], top + plane.shape[0])
    if x0 < x1 and y0 < y1:
        np.copyto(into[y0:y1, x0:x1], plane[y0 - top : y1 - top, x0 - left : x1 - left])


def _bare(pixel_format: str) -> str:
    """Return a format's name without what says how its samples are meant, or that there is alpha besides."""
    return pixel_format.replace("yuvj", "yuv").replace("yuva", "yuv")


def make_recipe(
    info: VideoInfo,
    sizes: Sequence[Size] = (),
    *,
    resize_factor: int = 1,
    crop: tuple[int, int, int, int] | None = None,
    rotation: Rotation = 0,
    deinterlace: bool = False,
) -> FrameRecipe:
    """Return the recipe by which the frames of a video are prepared.

    Args:
        info: The video.
        sizes: All sizes that its frames have, where they are known; the largest is what the others are fitted into.
        resize_factor: Divide width and height by this.
        crop: (top, bottom, left, right) kept of the shown frame after scaling and turning; -1 for
            bottom or right keeps all.
        rotation: Further degrees clockwise by which frames are shown rotated.
        deinterlace: Make whole frames of fields.

    Raises:
        SettingsError: The crop leaves nothing of the frame.
    """
    stored = max((info.size, *sizes), key=lambda size: size.width * size.height)
    orientation = info.orientation.turned(rotation)
    pixel_format = working_format(info.pixel_format, alpha=info.has_alpha)
    if info.is_still and pixel_format.planes == 1:
        # Few players show video of gray alone, whose samples take the whole range whatever is said of them.
        pixel_format = working_format("rgba", alpha=info.has_alpha)
    color = info.color
    if is_rgb(info.pixel_format) or info.is_still:
        # RGB and photos are converted here, so the colours are ours to choose: what players expect at that size.
        color = ColorTags(usual_matrix(stored.height), color.primaries, color.transfer)
    scaled = Size(max(2, stored.width // resize_factor), max(2, stored.height // resize_factor))
    if resize_factor == 1:
        scaled = stored
    whole = Canvas(scaled, pixel_format, color, orientation, float(info.sample_aspect_ratio))
    if crop is None:
        return FrameRecipe(whole, (0, 0), scaled, stored, info.pixel_format, info.color, deinterlace)
    left, top, right, bottom = _stored_crop(crop, whole)
    # Rows of both fields stay where they are, and so do colours.
    fields = 1 if info.field_order == "progressive" else 2
    left -= left % (1 << pixel_format.shift_x)
    top -= top % (fields << pixel_format.shift_y)
    if min(right - left, bottom - top) < _LEAST_SIDE_PX:
        raise SettingsError(
            "bad_crop",
            str(info.path),
            got=f"source.crop = {crop} leaves nothing of a frame of {scaled.width}x{scaled.height}",
            do="Give top, bottom, left, right in pixels of the shown frame",
        )
    canvas = Canvas(Size(right - left, bottom - top), pixel_format, color, orientation, whole.sample_aspect)
    return FrameRecipe(canvas, (left, top), scaled, stored, info.pixel_format, info.color, deinterlace)


def _stored_crop(crop: tuple[int, int, int, int], whole: Canvas) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) in stored coordinates: all that a part of the shown frame touches."""
    shown = whole.shown_size
    top, bottom, left, right = crop
    right = shown.width if right < 0 else min(right, shown.width)
    bottom = shown.height if bottom < 0 else min(bottom, shown.height)
    if right <= left or bottom <= top:
        return 0, 0, 0, 0
    corners = whole.to_stored() @ np.array([[left, right] * 2, [top, top, bottom, bottom], [1, 1, 1, 1]], np.float64)
    x0, y0 = (max(0, int(value)) for value in np.floor(corners.min(axis=1) + _SLACK))
    x1, y1 = (int(value) for value in np.ceil(corners.max(axis=1) - _SLACK))
    return x0, y0, min(x1, whole.size.width), min(y1, whole.size.height)


@dataclass(frozen=True, slots=True)
class SmallImage:
    """A small upright image of a frame, for detection.

    Attributes:
        image_bgr: Shape (H, W, 3), uint8.
        scale_x: Multiply a column by this to get a column of the shown frame.
        scale_y: The same for rows.
    """

    image_bgr: U8Array
    scale_x: float
    scale_y: float


def small_image(frame: VideoFrame, recipe: FrameRecipe, side_px: int) -> SmallImage:
    """Return an upright, square-pixel image whose longer side is at most `side_px` (0: full size).

    Scales straight from the planes; the full frame is never converted.
    """
    canvas = recipe.canvas
    is_ready = canvas.size == recipe.scaled and recipe.is_plain(frame)
    prepared = frame if is_ready else recipe.apply(frame)
    if not is_ready:
        tag(prepared, canvas.color)
    wide = canvas.size.width * canvas.sample_aspect
    longest = max(wide, canvas.size.height)
    factor = min(1.0, side_px / longest) if side_px else 1.0
    width = max(2, round(wide * factor))
    height = max(2, round(canvas.size.height * factor))
    small = prepared.reformat(width=width, height=height, format="bgr24", interpolation="FAST_BILINEAR")
    image = canvas.orientation.upright(small.to_ndarray())
    shown = canvas.shown_size
    return SmallImage(image, shown.width / image.shape[1], shown.height / image.shape[0])
