"""The small values that flow between the layers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

F32Array: TypeAlias = npt.NDArray[np.float32]
F64Array: TypeAlias = npt.NDArray[np.float64]
Complex64Array: TypeAlias = npt.NDArray[np.complex64]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
"""Stored as small as its use allows; whoever computes with it converts the part that is needed."""

I64Array: TypeAlias = npt.NDArray[np.int64]
U8Array: TypeAlias = npt.NDArray[np.uint8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
PixelArray: TypeAlias = npt.NDArray[Any]
"""One plane of samples, uint8 or uint16."""

Rotation: TypeAlias = Literal[0, 90, 180, 270]
"""Degrees clockwise by which a player turns the stored frame."""

Json: TypeAlias = dict[str, Any]
"""A JSON object, as records are stored and sent."""


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open interval ``[start, stop)`` of frame numbers."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.stop


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ColorTags:
    """A stream's colour description, as the numbers of ITU-T H.273; 2 means unspecified.

    ``full_range`` is the sample range: True for 0-255, False for 16-235 (8 bit).
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False


def round_half_up(value: Fraction) -> int:
    """Return the nearest integer; halves go up, so that the rule does not depend on parity."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def spans(total: int, length: int) -> list[Span]:
    """Cut ``[0, total)`` into spans of `length`; the last one may be shorter.

    Raises:
        ValueError: `length` is below 1.
    """
    if length < 1:
        raise ValueError(length)
    return [Span(start, min(start + length, total)) for start in range(0, total, length)]


def steps_to(mask: BoolArray) -> I64Array:
    """Return the distance of each index to the nearest one that is True; more than the length where there is none."""
    places = np.arange(len(mask), dtype=np.int64)
    far = 2 * len(mask) + 1
    before = np.maximum.accumulate(np.where(mask, places, -far))
    after = np.minimum.accumulate(np.where(mask, places, 2 * far)[::-1])[::-1]
    return np.minimum(places - before, after - places)
