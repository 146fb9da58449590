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
_TIME_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedClip:
    """Record of an audio clip and of the video in its slot, made longer or shorter.

    Attributes:
        number: Of its cue or speaker, from 1 on.
        start_s: Second of the output at which it begins.
        end_s: Second there at which it ends.
        audio: Factor by which it was made longer.
        video: Factor by which the video was.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    number: Count
    start_s: NonNegative
    end_s: NonNegative
    audio: NonNegative
    video: NonNegative

    @staticmethod
    def of(number: int, start_s: Fraction, length_s: Fraction, *, audio: Fraction, video: Fraction) -> FittedClip:
        """Return the record of exact figures.

        Args:
            number: Of its cue or speaker, from 1 on.
            start_s: Second of the output at which it begins.
            length_s: Length that it was made to have.
            audio: Factor by which it was made longer.
            video: Factor by which the video was.
        """
        start, end = (round(float(time_s), _TIME_DIGITS) for time_s in (start_s, start_s + length_s))
        by, moved = (round(float(factor), _DIGITS) for factor in (audio, video))
        return FittedClip(number=number, start_s=start, end_s=end, audio=by, video=moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRecord:
    """Factors by which things were made longer: 2 is twice as long, 1 is as it was.

    Attributes:
        clips: Number of audio clips that were made longer or shorter.
        least, median, most: Their factors; None without any.
        video: The video's.
        slots: What was done to each clip, in the order of the row, where the video was stretched in their slots.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    clips: Count
    least: Maybe[NonNegative] = None
    median: Maybe[NonNegative] = None
    most: Maybe[NonNegative] = None
    video: NonNegative = 1.0
    slots: Maybe[tuple[FittedClip, ...]] = None

    @staticmethod
    def of(factors: Sequence[Fraction], video: Fraction, slots: tuple[FittedClip, ...] = ()) -> FittedRecord:
        """Return the record of factors.

        Args:
            factors: Of each clip that was made longer or shorter.
            video: The video's.
            slots: What was done to each clip; empty where the video kept its own speed in their slots.
        """
        figures = [min(factors), median(factors), max(factors)] if factors else [None] * 3
        least, middle, most = (None if one is None else round(float(one), _DIGITS) for one in figures)
        return FittedRecord(
            clips=len(factors),
            least=least,
            median=middle,
            most=most,
            video=round(float(video), _DIGITS),
            slots=slots or None,
        )
