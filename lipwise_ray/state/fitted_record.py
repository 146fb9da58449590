"""Record of the factors by which `timing.length = "fit"` made audio and video longer, in plans and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Maybe, NonNegative

_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRecord:
    """Factors by which things were made longer: 2 is twice as long, 1 is as it was.

    Attributes:
        clips: Number of audio clips that were made longer or shorter.
        least, median, most: Their factors; None without any.
        video: The video's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    clips: Count
    least: Maybe[NonNegative] = None
    median: Maybe[NonNegative] = None
    most: Maybe[NonNegative] = None
    video: NonNegative = 1.0

    @staticmethod
    def of(factors: Sequence[Fraction], video: Fraction) -> FittedRecord:
        """Return the record of factors.

        Args:
            factors: Of each clip that was made longer or shorter.
            video: The video's.
        """
        figures = [min(factors), median(factors), max(factors)] if factors else [None] * 3
        least, middle, most = (None if one is None else round(float(one), _DIGITS) for one in figures)
        return FittedRecord(
            clips=len(factors), least=least, median=middle, most=most, video=round(float(video), _DIGITS)
        )
