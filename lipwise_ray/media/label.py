"""A sign in a corner of frames, drawn into their own planes.

It is drawn once, white letters and a white rim on a dark plate, and sampled for each kind of plane as `overlay` samples
faces; a frame then costs the mixing of a few rectangles. It has no colour, so one level of luma and neutral chroma are
all that is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.blending import blend
from lipwise_ray.media.pixels import plane_array, yuv_from_bgr
from lipwise_ray.media.region import Canvas, PlanePart, bounds, compose, plane_map, scale_of
from lipwise_ray.values import F32Array, F64Array, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL.ImageFont import FreeTypeFont

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
ShownBox: TypeAlias = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of the shown frame."""

_CAPITAL_SHARE = 0.05
"""Height of a capital letter over the frame's shorter side; GB 45438-2025 asks for that much of AI labels."""

_MARGIN_SHARE = 0.05
"""Free space to the frame's edges, as a share of its shorter side: television's title-safe area (EBU R 95)."""

_CAPITAL_PX, _PADDING_PX, _RIM_PX = 192, 120, 16
"""Height of a capital letter, space around the text, and width of the rim in the drawing."""

_PLATE_OPACITY = 0.72
"""White letters on it over white footage have a contrast of 9 to 1; WCAG 2.2 asks for 7."""

_WHITE = {16: 0.58, 18: 0.75}
"""Signal of diffuse white, 203 cd/m2, in PQ and HLG by H.273 number of the transfer (ITU-R BT.2408); elsewhere 1."""

_FINER = 4
"""Samples a pixel, in each direction, of which a plane's are averages."""

_STEPS = 64
_MOST_KNOWN = 16  # signs; mostly all rows have one
_UNKNOWN = "\uffff"  # a letter that no font has


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign to be drawn.

    Attributes:
        text: Its text, one line.
        corner: The corner of the shown frame.
        font: File of a font; None for the one that comes with Pillow.
    """

    text: str
    corner: Corner
    font: Path | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples that are mixed into a plane.

    Attributes:
        plane: Number of the plane.
        window: Its rows and columns.
        fresh: New samples, shape (H, W).
        alpha: Their opacity, shape (H, W).
    """

    plane: int
    window: PlanePart
    fresh: F32Array
    alpha: F32Array


class FrameLabel:
    """Draws a sign into frames of one canvas, upright for who watches.

    Args:
        sign: The sign.
        canvas: Geometry and colours of the frames.

    Raises:
        SettingsError: The font cannot be read, or lacks a letter of the text.
    """

    def __init__(self, sign: Sign, canvas: Canvas) -> None:
        plate, white = _drawn(sign)
        self._peak = float((1 << canvas.format.bits) - 1)
        self.box = _placed(sign.corner, plate.shape[1] / _CAPITAL_PX, plate.shape[0] / _CAPITAL_PX, canvas)
        """Rectangle of the shown frame outside which nothing changes but by the softness of its edge."""
        self._parts = tuple(_parts(plate, white, self.box, canvas))

    def draw(self, frame: VideoFrame) -> None:
        """Draw the sign, in place.

        Args:
            frame: A frame of the canvas that nobody else refers to.
        """
        frame.opaque = None  # planes that it has on a device are not written to here
        for part in self._parts:
            window = plane_array(frame, part.plane)[part.window]
            blend(window, part.fresh.copy(), part.alpha, peak=self._peak)


@lru_cache(_MOST_KNOWN)
def check_sign(sign: Sign) -> None:
    """Find out whether a sign can be drawn; a second time it is known.

    Args:
        sign: The sign.

    Raises:
        SettingsError: The font cannot be read, or lacks a letter of the text.
    """
    _font(sign)


def _drawn(sign: Sign) -> tuple[U8Array, U8Array]:
    """Return the coverage of a drawing's pixels by the plate, and by letters and rim, shape (H, W) each."""
    from PIL import Image, ImageDraw

    font = _font(sign)
    left, top, right, bottom = font.getbbox(sign.text, anchor="ls")
    top, bottom = min(top, -_CAPITAL_PX), max(bottom, 0)  # a sign without capitals is as high as one with
    size = round(right - left) + 2 * _PADDING_PX, round(bottom - top) + 2 * _PADDING_PX
    whole, radius = (0, 0, size[0] - 1, size[1] - 1), _PADDING_PX // 2
    plate, white = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(plate).rounded_rectangle(whole, radius, fill=255)
    pen = ImageDraw.Draw(white)
    pen.rounded_rectangle(whole, radius, outline=255, width=_RIM_PX)
    pen.text((_PADDING_PX - left, _PADDING_PX - top), sign.text, fill=255, font=font, anchor="ls")
    return np.asarray(plate, np.uint8), np.asarray(white, np.uint8)


def _font(sign: Sign) -> FreeTypeFont:
    """Return the font whose capitals are as high as the drawing's.

    Raises:
        SettingsError: It cannot be read, or lacks a letter of the text.
    """
    from PIL import ImageFont

    where = str(sign.font)
    try:
        font = ImageFont.load_default(_CAPITAL_PX) if sign.font is None else ImageFont.truetype(sign.font, _CAPITAL_PX)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise SettingsError("label_font", where, got="this Pillow was built without FreeType, which draws letters")
        capital = -font.getbbox("H", anchor="ls")[1] or _CAPITAL_PX
        font = font.font_variant(size=round(_CAPITAL_PX * _CAPITAL_PX / capital))
        lacking = _lacking(font, sign.text)
    except (OSError, ValueError) as error:
        raise SettingsError(
            "label_font", "marking.label_font", got=f"{where} cannot be read as a font: {error}", do="Name another file"
        ) from error
    if lacking:
        raise SettingsError(
            "label_font", "marking.label_font", got=f"{where} has no {lacking!r}", do="Name a font that has it"
        )
    return font


def _lacking(font: FreeTypeFont, text: str) -> str | None:
    """Return a letter that a font draws as it draws what it does not know; None where it has all."""
    unknown = _glyph(font, _UNKNOWN)
    return next((letter for letter in text if not letter.isspace() and _glyph(font, letter) == unknown), None)


def _glyph(font: FreeTypeFont, letter: str) -> bytes:
    """Return the samples of one letter."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (2 * _CAPITAL_PX, 2 * _CAPITAL_PX))
    ImageDraw.Draw(image).text((_PADDING_PX, _CAPITAL_PX), letter, fill=255, font=font, anchor="ls")
    return image.tobytes()


def _placed(corner: Corner, width: float, height: float, canvas: Canvas) -> ShownBox:
    """Return the sign's rectangle in the shown frame.

    Args:
        corner: The corner.
        width: Of the sign, in heights of a capital letter.
        height: The same.
        canvas: Geometry of the frames.
    """
    shown, aspect = canvas.shown_size, canvas.aspect
    across, down = shown.width * aspect, float(shown.height)  # as wide and high as it is watched
    shorter = min(across, down)
    margin = shorter * _MARGIN_SHARE
    capital = min(shorter * _CAPITAL_SHARE, (across - 2 * margin) / width, (down - 2 * margin) / height)
    wide, high = width * capital, height * capital
    left = margin if corner.endswith("left") else across - margin - wide
    top = margin if corner.startswith("top") else down - margin - high
    middle = (across - wide) / 2, (down - high) / 2

    def box_at(step: int) -> ShownBox:
        x, y = (at + (to - at) * step / _STEPS for at, to in zip((left, top), middle, strict=True))
        return x / aspect, y, (x + wide) / aspect, y + high

    def is_within(step: int) -> bool:
        return _is_within(box_at(step), canvas)

    # The corners of a tilted frame show nothing: there the sign comes towards the middle until all of it is shown.
    step = 0 if canvas.orientation.is_straight else next(filter(is_within, range(_STEPS)), _STEPS)
    return box_at(step)


def _is_within(box: ShownBox, canvas: Canvas) -> bool:
    """Tell whether a rectangle of the shown frame lies in the stored one."""
    left, top, right, bottom = box
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]], np.float64)
    x, y = canvas.to_stored() @ corners
    return bool(min(x.min(), y.min()) >= 0 and x.max() <= canvas.size.width and y.max() <= canvas.size.height)


def _parts(plate: U8Array, white: U8Array, box: ShownBox, canvas: Canvas) -> Iterator[_Part]:
    """Yield the samples for each plane: luma, chroma, and the opacity of a frame that has one."""
    left, top, right, bottom = box
    to_shown = np.array(
        [[(right - left) / plate.shape[1], 0, left], [0, (bottom - top) / plate.shape[0], top]], np.float64
    )
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
    level = float(matrix[0].sum()) * _WHITE.get(canvas.color.transfer, 1.0)
    planes = canvas.format.planes + canvas.format.has_alpha
    for plane in range(planes):
        shifts = canvas.format.shifts(plane)
        own = -(-canvas.size.height >> shifts[1]), -(-canvas.size.width >> shifts[0])
        sampled = _sampled((plate, white), compose(canvas.to_stored(), to_shown), shifts, own)
        if sampled is None:
            continue
        window, (dark, light) = sampled
        alpha = np.asarray(light + (1 - light) * (_PLATE_OPACITY * dark), np.float32)
        share = np.divide(light, alpha, out=np.zeros_like(alpha), where=alpha > 0)
        if plane == 0:
            fresh = share * np.float32(level) + offset[0]
        else:
            is_opacity = plane == canvas.format.planes
            fresh = np.full_like(alpha, (1 << canvas.format.bits) - 1 if is_opacity else offset[plane])
        yield _Part(plane, window, np.asarray(fresh, np.float32), alpha)


def _sampled(
    masks: tuple[U8Array, U8Array], to_stored: F64Array, shifts: tuple[int, int], plane: tuple[int, int]
) -> tuple[PlanePart, tuple[F32Array, F32Array]] | None:
    """Return a plane's rows and columns that a drawing touches, and its masks there; None where it touches none.

    Args:
        masks: Of the drawing, shape (H, W) each.
        to_stored: Map from the drawing to the stored frame, shape (2, 3).
        shifts: log2 of the plane's subsampling, across and down.
        plane: Rows and columns of the plane.
    """
    fewer = min(1.0, 1 / (_FINER * scale_of(to_stored)))
    height, width = (max(1, round(side * fewer)) for side in masks[0].shape)
    to_stored = to_stored * np.array([masks[0].shape[1] / width, masks[0].shape[0] / height, 1])
    to_plane = plane_map(to_stored, *shifts)
    x0, x1, y0, y1 = bounds(to_plane, (0, width - 1, 0, height - 1))
    rows, columns = slice(max(0, y0), min(plane[0], y1)), slice(max(0, x0), min(plane[1], x1))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    extent = columns.stop - columns.start, rows.stop - rows.start
    finer = to_plane * _FINER
    finer[:, 2] += (_FINER - 1) / 2 - _FINER * np.array([columns.start, rows.start])
    found = [
        cv2.resize(
            cv2.warpAffine(
                cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255),
                finer,
                (extent[0] * _FINER, extent[1] * _FINER),
                flags=cv2.INTER_LINEAR,
            ),
            extent,
            interpolation=cv2.INTER_AREA,
        )
        for mask in masks
    ]
    return (rows, columns), (np.asarray(found[0], np.float32), np.asarray(found[1], np.float32))
