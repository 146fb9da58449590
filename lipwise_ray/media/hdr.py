"""High dynamic range of a stream: the display it was mastered on, and its light levels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from av.sidedata.sidedata import Type

from lipwise_ray.media.side_data import side_data

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MASTERING = struct.Struct("=20i2i")  # AVMasteringDisplayMetadata: ten rationals, two flags
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata
_CHROMATICITY, _LUMINANCE = 50_000, 10_000  # steps of SMPTE ST 2086, as H.264 and HEVC code them
_COORDINATES = 8
_STEPS = 2


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display on which a film was graded (SMPTE ST 2086).

    Attributes:
        coordinates: x and y of red, green, blue and white, in steps of 0.00002.
        brightest: In steps of 0.0001 cd/m2.
        darkest: The same.
    """

    coordinates: tuple[int, ...]
    brightest: int
    darkest: int


@dataclass(frozen=True, slots=True)
class LightLevels:
    """Light levels of a film, in cd/m2 (CTA-861.3): of its brightest pixel, and of its brightest frame on average."""

    brightest_pixel: int
    brightest_frame: int


@dataclass(frozen=True, slots=True)
class Hdr:
    """Metadata of a stream's dynamic range; None for what it does not say."""

    mastering: MasteringDisplay | None = None
    light: LightLevels | None = None

    def is_like(self, other: Hdr) -> bool:
        """Tell whether both say the same, to a few of the coarsest steps that a codec has (AV1: 1/65536, 1/256)."""
        if (self.mastering is None) != (other.mastering is None) or self.light != other.light:
            return False
        if self.mastering is None or other.mastering is None:
            return True
        mine, theirs = self.mastering, other.mastering
        pairs = zip(mine.coordinates, theirs.coordinates, strict=True)
        return (
            all(abs(a - b) <= _STEPS for a, b in pairs)
            and abs(mine.brightest - theirs.brightest) <= _LUMINANCE // 100
            and abs(mine.darkest - theirs.darkest) <= _STEPS
        )


NO_HDR = Hdr()


def hdr_of(frame: VideoFrame) -> Hdr:
    """Return the metadata of a decoded frame; of a mastering display only a whole description counts."""
    display = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    levels = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    light = LightLevels(*_LIGHT.unpack(levels[: _LIGHT.size])) if len(levels) >= _LIGHT.size else None
    return Hdr(
        _mastering(_MASTERING.unpack(display)) if len(display) == _MASTERING.size else None,
        light if light != LightLevels(0, 0) else None,
    )


def _mastering(numbers: tuple[int, ...]) -> MasteringDisplay | None:
    *parts, has_coordinates, has_luminance = numbers
    if not (has_coordinates and has_luminance) or not all(parts[1::2]):
        return None
    values = [Fraction(above, below) for above, below in zip(parts[::2], parts[1::2], strict=True)]
    darkest, brightest = (round(value * _LUMINANCE) for value in values[_COORDINATES:])
    coordinates = tuple(round(value * _CHROMATICITY) for value in values[:_COORDINATES])
    return MasteringDisplay(coordinates, brightest, darkest)


def steps(display: MasteringDisplay) -> str:
    """Return a mastering display in the words of x264 and x265."""
    red, green, blue, white = (f"({x},{y})" for x, y in _pairs(display.coordinates))
    return f"G{green}B{blue}R{red}WP{white}L({display.brightest},{display.darkest})"


def decimals(display: MasteringDisplay) -> str:
    """Return a mastering display in the words of SVT-AV1."""
    red, green, blue, white = (
        f"({x / _CHROMATICITY:.5f},{y / _CHROMATICITY:.5f})" for x, y in _pairs(display.coordinates)
    )
    light = f"({display.brightest / _LUMINANCE:.4f},{display.darkest / _LUMINANCE:.4f})"
    return f"G{green}B{blue}R{red}WP{white}L{light}"


def _pairs(values: tuple[int, ...]) -> zip[tuple[int, int]]:
    return zip(values[::2], values[1::2], strict=True)
