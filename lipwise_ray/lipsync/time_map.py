"""Time map: from the clock of a video to that of an output which shows parts of it for longer or less long."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipwise_ray.values import F64Array

Knot = tuple[Fraction, Fraction]
"""A time of the video, and the time at which the output shows it, in seconds."""


@dataclass(frozen=True, slots=True)
class VideoStretch:
    """A part of a video that is shown for longer or less long.

    Attributes:
        start_s: Its start, on the video's clock.
        stop_s: Its end there, later.
        shown_s: Length for which the output shows it, above 0.
    """

    start_s: Fraction
    stop_s: Fraction
    shown_s: Fraction

    @property
    def factor(self) -> Fraction:
        """Factor by which it becomes longer."""
        return self.shown_s / (self.stop_s - self.start_s)


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Times of an output by those of its video: straight between knots, at the video's own speed after the last.

    Attributes:
        knots: The first is (0, 0); both times rise from one to the next.
    """

    knots: tuple[Knot, ...]

    @staticmethod
    def of(stretches: Iterable[VideoStretch]) -> TimeMap:
        """Return the map of a video that runs at its own speed but for some parts.

        Args:
            stretches: They, in the order of their times; none overlaps another.
        """
        knots: list[Knot] = [(Fraction(0), Fraction(0))]
        for stretch in stretches:
            video_s, output_s = knots[-1]
            begins_s = output_s + stretch.start_s - video_s
            ends = (stretch.stop_s, begins_s + stretch.shown_s)
            knots += [ends] if stretch.start_s == video_s else [(stretch.start_s, begins_s), ends]
        return TimeMap(tuple(knots))

    def moved_s(self, video_s: Fraction) -> Fraction:
        """Return the time at which the output shows a time of the video, from 0 on."""
        after = bisect.bisect_right(self.knots, video_s, key=lambda knot: knot[0])
        from_s, to_s = self.knots[after - 1]
        if after == len(self.knots):
            return to_s + video_s - from_s
        next_from_s, next_to_s = self.knots[after]
        return to_s + (video_s - from_s) * (next_to_s - to_s) / (next_from_s - from_s)

    def moved(self, video_s: F64Array) -> F64Array:
        """Return the times at which the output shows times of the video, as far as floats tell them, shape (N,)."""
        from_s, to_s = np.array(self.knots, np.float64).T
        return np.asarray(np.interp(video_s, from_s, to_s) + np.maximum(video_s - from_s[-1], 0), np.float64)
