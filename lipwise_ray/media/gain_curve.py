"""Gain of a sound over time, and the curve of one that makes way for speech."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipwise_ray.values import F32Array

FADE_S = 0.5
"""A bed is down when somebody begins to speak, and up again so long after. Source: the defaults of Audacity's Auto Duck
(outer fade down and up, 0.5 s each)."""

MAX_PAUSE_S = 1.0
"""Over shorter pauses it stays down. Source: the same effect's maximum pause."""


@dataclass(frozen=True, slots=True)
class GainCurve:
    """A gain in decibels over time: linear between its points, constant before the first and after the last.

    Attributes:
        rate_hz: Samples a second of the sound.
        points: Pairs of a time in seconds and a gain in dB, rising in time.
    """

    rate_hz: int
    points: tuple[tuple[float, float], ...]

    def factors(self, start: int, count: int) -> F32Array:
        """Return the factors of samples, shape (count,).

        Args:
            start: Number of the first sample.
            count: How many.
        """
        at_s = np.arange(start, start + count) / self.rate_hz
        first = max(0, bisect_right(self.points, (at_s[0], np.inf)) - 1)
        stop = bisect_left(self.points, (at_s[-1], -np.inf)) + 1
        times_s, gains_db = np.array(self.points[first:stop]).T
        return (10 ** (np.interp(at_s, times_s, gains_db) / 20)).astype(np.float32)


def bed_gain(rate_hz: int, gain_db: float, duck_db: float, speech_s: Sequence[tuple[float, float]]) -> GainCurve:
    """Return the gain of a bed that goes down while somebody speaks.

    Args:
        rate_hz: Samples a second of the bed.
        gain_db: Its gain in pauses.
        duck_db: How much lower it is under speech, 0 for no lower.
        speech_s: ``[start, stop)`` of each stretch of speech in seconds, in order.
    """
    merged: list[list[float]] = []
    for start_s, stop_s in speech_s if duck_db else ():
        if merged and start_s - merged[-1][1] < MAX_PAUSE_S:
            merged[-1][1] = max(stop_s, merged[-1][1])
        else:
            merged.append([start_s, stop_s])
    under_db = gain_db - duck_db
    points = [
        point
        for start_s, stop_s in merged
        for point in ((start_s - FADE_S, gain_db), (start_s, under_db), (stop_s, under_db), (stop_s + FADE_S, gain_db))
    ]
    return GainCurve(rate_hz, tuple(points) or ((0.0, gain_db),))
