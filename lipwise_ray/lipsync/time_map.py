"""Time map: from the clock of a video to that of an output which shows parts of it for longer or less long."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from lipwise_ray.values import F64Array, I64Array

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

    def moved_ticks(self, ticks: I64Array, time_base: Fraction) -> I64Array:
        """Return the nearest ticks to the times at which the output shows those of some ticks, exactly, shape (N,).

        Args:
            ticks: Rising, from 0 on, shape (N,).
            time_base: Seconds a tick.
        """
        edges = np.searchsorted(ticks, [math.ceil(video_s / time_base) for video_s, _ in self.knots])
        found: list[int] = []
        for number, (start, stop) in enumerate(pairwise([*edges.tolist(), len(ticks)])):
            from_s, to_s = self.knots[number]
            after_s = self.knots[number + 1] if number + 1 < len(self.knots) else (from_s + 1, to_s + 1)
            pace = (after_s[1] - to_s) / (after_s[0] - from_s)
            origin = (to_s - pace * from_s) / time_base
            # As whole numbers: a fraction for each of a long film's frames would take seconds.
            whole = math.lcm(pace.denominator, origin.denominator)
            slope, offset = int(pace * whole), int(origin * whole)
            found += [(2 * (slope * tick + offset) + whole) // (2 * whole) for tick in ticks[start:stop].tolist()]
        return np.array(found, np.int64)

    def moved(self, video_s: F64Array) -> F64Array:
        """Return the times at which the output shows times of the video, as far as floats tell them, shape (N,)."""
        from_s, to_s = np.array(self.knots, np.float64).T
        return np.asarray(np.interp(video_s, from_s, to_s) + np.maximum(video_s - from_s[-1], 0), np.float64)
