"""Turning decoded frames into frames of ours: cropped, scaled, planar, writable; and small pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.pixels import plane_array, working_format
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.region import Canvas
from lipwise_ray.values import ColorTags, Rotation, Size, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MPEG_RANGE = 1
_HD_HEIGHT_PX = 720
_TURNS: tuple[Rotation, ...] = (0, 90, 180, 270)


@dataclass(frozen=True, slots=True)
class FrameRecipe:
    """What is done to every decoded frame before anything else sees it.

    Attributes:
        canvas: Geometry, format and colours of the resulting frames.
        crop: (left, top) of the part that is kept, in stored pixels after scaling.
        scaled: Size after scaling, before the crop.
    """

    canvas: Canvas
    crop: tuple[int, int]
    scaled: Size

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame of the canvas's format that may be written to; the input stays untouched."""
        target = self.canvas
        name = frame.format.name.replace("yuvj", "yuv")
        if name != target.format.name or (frame.width, frame.height) != (self.scaled.width, self.scaled.height):
            frame = self._converted(frame)
        fresh = av.VideoFrame(target.size.width, target.size.height, target.format.name)
        left, top = self.crop
        for plane in range(target.format.planes):
            shift_x, shift_y = (target.format.shift_x, target.format.shift_y) if plane else (0, 0)
            into = plane_array(fresh, plane)
            x, y = left >> shift_x, top >> shift_y
            np.copyto(into, plane_array(frame, plane)[y : y + into.shape[0], x : x + into.shape[1]])
        return fresh

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        from_rgb = is_rgb(frame.format.name)
        matrix = 1 if self.canvas.color.matrix == 1 else 5
        return frame.reformat(
            width=self.scaled.width,
            height=self.scaled.height,
            format=self.canvas.format.name,
            dst_colorspace=matrix if from_rgb else None,
            interpolation="AREA" if self.scaled.width < frame.width else "BICUBIC",
            dst_color_range=_MPEG_RANGE if from_rgb else None,
        )


def is_rgb(pixel_format: str) -> bool:
    """Tell whether a format holds red, green and blue, or a palette of them."""
    shape = av.VideoFormat(pixel_format)
    return shape.is_rgb or shape.has_palette


def make_recipe(
    info: VideoInfo,
    *,
    resize_factor: int = 1,
    crop: tuple[int, int, int, int] | None = None,
    turn: Rotation = 0,
) -> FrameRecipe:
    """Return how the frames of a video are prepared.

    Args:
        info: The video.
        resize_factor: Divide width and height by this.
        crop: (top, bottom, left, right) kept of the shown picture after scaling and turning; -1 for
            bottom or right keeps all.
        turn: Further degrees clockwise by which the picture is shown turned.

    Raises:
        SettingsError: The crop leaves nothing of the picture.
    """
    rotation = _TURNS[(info.rotation + turn) // 90 % 4]
    pixel_format = working_format(info.pixel_format)
    color = info.color
    if is_rgb(info.pixel_format):
        # RGB is converted here, so the matrix is ours to choose: the one players expect at that size.
        color = ColorTags(1 if info.size.height >= _HD_HEIGHT_PX else 6, color.primaries, color.transfer)
    scaled = Size(max(2, info.size.width // resize_factor), max(2, info.size.height // resize_factor))
    if resize_factor == 1:
        scaled = info.size
    aspect = float(info.sample_aspect_ratio)
    if crop is None:
        return FrameRecipe(Canvas(scaled, pixel_format, color, rotation, aspect), (0, 0), scaled)
    left, top, right, bottom = _stored_crop(crop, scaled, rotation)
    left -= left % (1 << pixel_format.shift_x)
    top -= top % (1 << pixel_format.shift_y)
    if right - left < 2 or bottom - top < 2:  # noqa: PLR2004  # the smallest picture encoders take
        raise SettingsError(
            "bad_crop",
            str(info.path),
            "source.crop must leave some of the picture",
            f"{crop} of {scaled.width}x{scaled.height}",
            "Give top, bottom, left, right in pixels of the shown picture",
        )
    canvas = Canvas(Size(right - left, bottom - top), pixel_format, color, rotation, aspect)
    return FrameRecipe(canvas, (left, top), scaled)


def _stored_crop(crop: tuple[int, int, int, int], scaled: Size, rotation: Rotation) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) in stored coordinates."""
    swap = rotation in (90, 270)
    width, height = (scaled.height, scaled.width) if swap else (scaled.width, scaled.height)
    top, bottom, left, right = crop
    right = width if right < 0 else min(right, width)
    bottom = height if bottom < 0 else min(bottom, height)
    if rotation == 90:  # noqa: PLR2004  # degrees
        return top, scaled.height - right, bottom, scaled.height - left
    if rotation == 180:  # noqa: PLR2004  # degrees
        return scaled.width - right, scaled.height - bottom, scaled.width - left, scaled.height - top
    if rotation == 270:  # noqa: PLR2004  # degrees
        return scaled.width - bottom, left, scaled.width - top, right
    return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A small upright picture of a frame, for detection.

    Attributes:
        image_bgr: Shape (H, W, 3), uint8.
        scale_x: Multiply a column by this to get a column of the shown picture.
        scale_y: The same for rows.
    """

    image_bgr: U8Array
    scale_x: float
    scale_y: float


def small_picture(frame: VideoFrame, recipe: FrameRecipe, sample_aspect_ratio: float, side_px: int) -> SmallPicture:
    """Return an upright, square-pixel picture whose longer side is at most `side_px` (0: full size).

    Scales straight from the planes; the full frame is never converted.
    """
    canvas = recipe.canvas
    cropped = recipe.apply(frame) if canvas.size != recipe.scaled else frame
    wide = canvas.size.width * sample_aspect_ratio
    longest = max(wide, canvas.size.height)
    factor = min(1.0, side_px / longest) if side_px else 1.0
    width = max(2, round(wide * factor))
    height = max(2, round(canvas.size.height * factor))
    small = cropped.reformat(width=width, height=height, format="bgr24", interpolation="FAST_BILINEAR")
    image = small.to_ndarray()
    if canvas.rotation:
        image = np.ascontiguousarray(np.rot90(image, -canvas.rotation // 90))
    shown = canvas.shown_size
    return SmallPicture(cast("U8Array", image), shown.width / image.shape[1], shown.height / image.shape[0])
