"""A frame's planes as arrays, in the frame's own YUV format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

from lipwise_ray.media.colours import usual_matrix
from lipwise_ray.values import ColorTags, F32Array, PixelArray, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

_PLANAR = re.compile(r"^yuv([ja]?)(420|422|444|440|411|410)p(?:(9|10|12|14|16)le)?$")
_SHIFTS = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0), "410": (2, 2)}

# Luma weights of red and blue by H.273 matrix number; 2 (unspecified) is decided by the height.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A planar YUV format that is worked on in place.

    ``shift_x`` and ``shift_y`` are log2 of the chroma subsampling.
    """

    name: str
    bits: int
    shift_x: int
    shift_y: int

    @property
    def planes(self) -> int:
        """Number of planes that hold luma and colours; alpha is one more behind them."""
        return 1 if self.name.startswith("gray") else 3

    @property
    def has_alpha(self) -> bool:
        """True where a plane of opacity comes last."""
        return self.name.startswith("yuva")

    def shifts(self, plane: int) -> tuple[int, int]:
        """Return log2 of the subsampling of a plane, across and down."""
        return (self.shift_x, self.shift_y) if plane in (1, 2) else (0, 0)


@lru_cache(maxsize=64)
def planar_format(name: str) -> PixelFormat | None:
    """Return the format of that FFmpeg name, or None when frames must be converted first."""
    if name in ("gray", "gray10le", "gray12le"):
        return PixelFormat(name, int(name[4:6] or 8), 0, 0)
    match = _PLANAR.match(name)
    if match is None:
        return None
    shift_x, shift_y = _SHIFTS[match[2]]
    if match[1] == "a" and not _exists(name):
        return None  # there is alpha beside the usual depths only
    return PixelFormat(name.replace("yuvj", "yuv"), int(match[3] or 8), shift_x, shift_y)


def _exists(name: str) -> bool:
    try:
        return bool(av.VideoFormat(name).components)
    except ValueError:
        return False


def working_format(name: str, *, alpha: bool = False) -> PixelFormat:
    """Return the planar YUV format in which frames of format `name` are kept.

    Planar YUV stays as it is; packed YUV keeps its subsampling; everything else (RGB, palettes) becomes 4:4:4.

    Args:
        name: FFmpeg's name of a format.
        alpha: Keep transparency, where planar formats have room for it.
    """
    bare = planar_format(name.replace("yuva", "yuv")) or _planar_for(name)
    return (planar_format(bare.name.replace("yuv", "yuva")) or bare) if alpha and bare.planes > 1 else bare


def _planar_for(name: str) -> PixelFormat:
    packed = {
        "nv12": "yuv420p",
        "nv21": "yuv420p",
        "nv16": "yuv422p",
        "yuyv422": "yuv422p",
        "uyvy422": "yuv422p",
        "p010le": "yuv420p10le",
        "p210le": "yuv422p10le",
        "gray16le": "gray12le",
        "gray16be": "gray12le",
        "ya8": "gray",
        "monob": "gray",
        "monow": "gray",
    }
    deep = re.search(r"(48|64|10|12|14|16)[bl]e$", name) is not None
    chosen = planar_format(packed.get(name, "yuv444p10le" if deep else "yuv444p"))
    assert chosen is not None  # every name above is planar
    return chosen


def plane_array(frame: VideoFrame, plane: int) -> PixelArray:
    """Return one plane as a view of the frame's memory, shape (rows, columns), uint8 or uint16."""
    return _samples(frame.planes[plane], _sample_type(frame.format.name))


def plane_arrays(frame: VideoFrame, count: int) -> list[PixelArray]:
    """Return the first planes as views of the frame's memory, as `plane_array`: PyAV makes all at every question.

    Args:
        frame: A planar frame.
        count: How many.
    """
    kind = _sample_type(frame.format.name)
    return [_samples(data, kind) for data in frame.planes[:count]]


def _samples(data: VideoPlane, kind: np.dtype[Any]) -> PixelArray:
    samples = np.frombuffer(cast("Any", data), kind).reshape(-1, data.line_size // kind.itemsize)
    return samples[: data.height, : data.width]


def plane_bytes(plane: VideoPlane) -> U8Array:
    """Return a plane's memory with its padding, shape (rows, bytes a row); writing changes the frame."""
    return np.frombuffer(cast("Any", plane), np.uint8).reshape(-1, plane.line_size)


def sample_bytes(bits: int) -> int:
    """Return the bytes a sample of so many bits takes in memory."""
    return (bits + 7) // 8


@lru_cache(maxsize=64)
def _sample_type(name: str) -> np.dtype[Any]:
    """Return the type of the samples of a planar format by its name: FFmpeg is asked once, not for every plane."""
    return np.dtype(f"u{sample_bytes(av.VideoFormat(name).components[0].bits)}")


@lru_cache(maxsize=64)
def yuv_from_bgr(tags: ColorTags, height_px: int, bits: int) -> tuple[F32Array, F32Array]:
    """Return ``(matrix, offset)`` with ``yuv = matrix @ bgr + offset``.

    Args:
        tags: The stream's colour description.
        height_px: Decides between BT.601 and BT.709 where the stream does not say.
        bits: Bits a sample.

    Returns:
        Matrix (3, 3) and offset (3,), float32; `bgr` is in [0, 1], `yuv` in sample values.

    Source: ITU-T H.273, equations for matrix coefficients and sample ranges.
    """
    red, blue = _LUMA_WEIGHTS.get(tags.matrix, _LUMA_WEIGHTS[usual_matrix(height_px)])
    green = 1 - red - blue
    rgb = np.array(
        [
            [red, green, blue],
            [-red / (2 * (1 - blue)), -green / (2 * (1 - blue)), 0.5],
            [0.5, -green / (2 * (1 - red)), -blue / (2 * (1 - red))],
        ]
    )
    unit = float(1 << (bits - 8))
    peak = float((1 << bits) - 1)
    scale = np.array([peak] * 3) if tags.full_range else np.array([219.0, 224.0, 224.0]) * unit
    offset = np.array([0.0 if tags.full_range else 16 * unit, 128 * unit, 128 * unit])
    matrix = rgb * scale[:, None]
    return np.ascontiguousarray(matrix[:, ::-1], np.float32), offset.astype(np.float32)


@lru_cache(maxsize=64)
def bgr_from_yuv(tags: ColorTags, height_px: int, bits: int) -> tuple[F32Array, F32Array]:
    """Return ``(matrix, offset)`` with ``bgr = matrix @ (yuv - offset)``; inverse of `yuv_from_bgr`."""
    matrix, offset = yuv_from_bgr(tags, height_px, bits)
    return np.linalg.inv(matrix.astype(np.float64)).astype(np.float32), offset
