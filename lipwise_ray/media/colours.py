"""Colour tags of frames: the meaning of their samples, and conversion to another one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import av
from av.video.reformatter import VideoReformatter

from lipwise_ray.values import ColorTags, Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LIMITED, _FULL = 1, 2  # AVColorRange
UNSPECIFIED = 2  # of H.273
_BT709, _BT601, _HD_HEIGHT_PX = 1, 6, 720
_BT601_PAL, _BT601_NTSC = 5, 6  # H.273 has the matrix of BT.601 twice
_OF_THREAD = threading.local()
HDR_TRANSFERS = (16, 18)
"""PQ and HLG."""

_BITS = ("monob", "monow")
_WIDE_GAMUTS, _COMMON_MATRICES = (9, 10, 11, 12), (1, 2, 5, 6)
_SWSCALE_MATRIX = {4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # H.273's numbers in swscale's; the others are 709


def is_full_range(frame: VideoFrame) -> bool:
    """Tell whether samples take the whole range."""
    return int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")


def is_rgb(pixel_format: str) -> bool:
    """Tell whether a format holds red, green and blue, or a palette of them."""
    shape = av.VideoFormat(pixel_format)
    return shape.is_rgb or shape.has_palette


def usual_matrix(height_px: int) -> int:
    """Return the matrix that players expect of a frame that does not state one: BT.709 for HD, else BT.601."""
    return _BT709 if height_px >= _HD_HEIGHT_PX else _BT601


def tags_of(frame: VideoFrame) -> ColorTags:
    """Return a frame's colour description."""
    return ColorTags(
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=is_full_range(frame),
    )


def tag(frame: VideoFrame, color: ColorTags) -> None:
    """Set the colour tags of a frame."""
    frame.colorspace, frame.color_primaries, frame.color_trc = color.matrix, color.primaries, color.transfer
    frame.color_range = _FULL if color.full_range else _LIMITED


def means(frame: VideoFrame, color: ColorTags) -> bool:
    """Tell whether a frame's samples mean what these tags say, as far as both say it; RGB means itself."""
    if is_rgb(frame.format.name):
        return True
    tags = tags_of(frame)
    return (
        tags.full_range == color.full_range
        and _alike(_matrix(tags.matrix), _matrix(color.matrix))
        and _alike(tags.primaries, color.primaries)
        and _alike(tags.transfer, color.transfer)
    )


def recoloured(
    frame: VideoFrame, source: ColorTags, wanted: ColorTags, pixel_format: str, size: Size | None = None
) -> VideoFrame:
    """Return a frame of another format, size or meaning.

    Args:
        frame: The frame; it is left as it is.
        source: Meaning of its samples. What is unspecified there is taken to be as wanted.
        wanted: Meaning that they are to have.
        pixel_format: FFmpeg name of the format.
        size: Of the frame, None to keep it.
    """
    size = size or Size(frame.width, frame.height)
    if frame.format.name in _BITS:  # swscale makes black and white of the whole range of them, whatever it is asked for
        frame = VideoReformatter().reformat(frame, format="gray")
    from_rgb = is_rgb(frame.format.name)
    matrix = wanted.matrix if wanted.matrix != UNSPECIFIED else source.matrix
    # Samples of gray take the whole range whatever is said of them; swscale knows.
    has_range = not frame.format.name.startswith("gray")
    gamut, target = (source.primaries, source.transfer), (wanted.primaries, wanted.transfer)
    # swscale converts primaries and transfer together, and only where it knows both.
    is_regraded = UNSPECIFIED not in (*gamut, *target) and gamut != target
    before = int(frame.color_primaries), int(frame.color_trc)
    if is_regraded:
        frame.color_primaries, frame.color_trc = gamut
    # Tables between gamuts take seconds to make, and last as long as what made them.
    convert = _reformatter().reformat if is_regraded else VideoReformatter().reformat
    try:
        return convert(
            frame,
            width=size.width,
            height=size.height,
            format=pixel_format,
            src_colorspace=None if from_rgb else _sws(source.matrix if source.matrix != UNSPECIFIED else matrix),
            dst_colorspace=_sws(matrix),
            src_color_range=(_FULL if from_rgb or source.full_range else _LIMITED) if has_range else None,
            dst_color_range=_FULL if wanted.full_range else _LIMITED,
            dst_color_trc=wanted.transfer if is_regraded else None,
            dst_color_primaries=wanted.primaries if is_regraded else None,
            interpolation="AREA" if size.width < frame.width else "BICUBIC",
        )
    finally:
        if is_regraded:
            frame.color_primaries, frame.color_trc = before


def _reformatter() -> VideoReformatter:
    """Return this thread's converter between gamuts."""
    reformatter: VideoReformatter | None = getattr(_OF_THREAD, "reformatter", None)
    if reformatter is None:
        reformatter = _OF_THREAD.reformatter = VideoReformatter()
    return reformatter


def compatible(color: ColorTags, size: Size) -> ColorTags:
    """Return the colours that every player shows right, of standard dynamic range and nearest to those of a frame.

    Args:
        color: Tags of the frame.
        size: Size of it, which decides the matrix where the tags name none that is common.
    """
    is_wide = color.primaries in _WIDE_GAMUTS or color.transfer in HDR_TRANSFERS
    if is_wide:
        return ColorTags(1, 1, 1)
    matrix = color.matrix if color.matrix in _COMMON_MATRICES else usual_matrix(size.height)
    return ColorTags(matrix, color.primaries, color.transfer)


def _alike(first: int, second: int) -> bool:
    return first == second or UNSPECIFIED in (first, second)


def _matrix(number: int) -> int:
    return _BT601_NTSC if number == _BT601_PAL else number


def _sws(matrix: int) -> int:
    return _SWSCALE_MATRIX.get(matrix, 1)
