"""The lag of one video behind another of the same scene, by what moves in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.values import F32Array, F64Array, I64Array

_FEWEST_PAIRS = 12
_LEAST_ALIKE = 0.7
"""Correlation of what moves below which two videos show no common movement: the lag is not told. Where a head stands
still and other lips speak, the best of a hundred lags is alike by chance: up to 0.65 in 150 tries with made-up lips."""
_CLEARLY = 0.01
"""By so much another lag must be better than none at all."""
_STILL = 0.05
"""Mean square of levels below which nothing moves but the encoder's noise."""


@dataclass(frozen=True, slots=True)
class TimedImages:
    """Small images of a stretch of a video.

    Attributes:
        start_s: When each is first shown, in seconds from the video's first frame on, shape (N,).
        end_s: Where the last one ends.
        luma: In levels of 255, shape (N, P).
    """

    start_s: F64Array
    end_s: float
    luma: F32Array

    def shown_at(self, seconds: F64Array) -> I64Array:
        """Return the images that are shown at these times, -1 where there is none."""
        number = np.searchsorted(self.start_s, seconds, side="right") - 1
        return np.where((number >= 0) & (seconds < self.end_s), number, -1)


def find_lag(video: TimedImages, reference: TimedImages, max_lag_s: float, step_s: float) -> float | None:
    """Return by how many seconds a video shows things later than its reference; None where nothing tells.

    Movement is compared, not images: each pixel's mean over the stretch is taken off, so that another size, exposure
    or a sign that stands still do not count. Of lags that are as good the one nearest to nought is taken.

    Args:
        video: A stretch of it.
        reference: The same stretch, and as much before and after it as the lag may be long.
        max_lag_s: The largest lag.
        step_s: Lags are multiples of this: the time of a frame.
    """
    steps = int(max_lag_s / step_s + 0.5)
    lags = sorted((number * step_s for number in range(-steps, steps + 1)), key=abs)
    middle_s = np.append(video.start_s[1:], video.end_s) * 0.5 + video.start_s * 0.5
    likeness = [_movement_likeness(video.luma, reference, middle_s - lag_s) for lag_s in lags]
    known = [(value, lag_s) for value, lag_s in zip(likeness, lags, strict=True) if value is not None]
    if not known:
        return None
    best, lag_s = max(known, key=lambda pair: pair[0])  # the first of several: the nearest to nought
    if best < _LEAST_ALIKE:
        return None
    without = likeness[0]
    return lag_s if without is None or best > without + _CLEARLY else 0.0


def _movement_likeness(luma: F32Array, reference: TimedImages, seconds: F64Array) -> float | None:
    """Return the correlation of what moves; None where too few images pair, or nothing moves in either."""
    beside = reference.shown_at(seconds)
    there = beside >= 0
    if there.sum() < _FEWEST_PAIRS:
        return None
    ours, theirs = luma[there], reference.luma[beside[there]]
    ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    energies = float(np.square(ours).mean()), float(np.square(theirs).mean())
    if min(energies) < _STILL:
        return None
    return float((ours * theirs).mean()) / (energies[0] * energies[1]) ** 0.5
