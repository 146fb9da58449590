"""LSE-D and LSE-C: from embeddings of lips and audio to one figure, in parts that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.values import F32Array, F64Array, I64Array

MOST_SHIFT = 15
SYNCNET = "syncnet"
"""The network whose distances LSE-D and LSE-C are by definition, as the registry calls it."""

SHIFTS = 2 * MOST_SHIFT + 1

_EPSILON = 1e-6
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Score:
    """LSE of a video: agreement of lips and audio.

    Attributes:
        lse_d: The smallest mean distance of all shifts of the audio; smaller is better.
        lse_c: The median of these means, less the smallest: how clearly that shift stands out; larger is better.
        offset: By how many frames of 1/25 s the lips come later than the audio.
        windows: Number of windows that were compared.
    """

    lse_d: float
    lse_c: float
    offset: int
    windows: int


def distances(lips: F32Array, sound: F32Array, heard: I64Array) -> F32Array:
    """Return the distances of lips and audio at each shift, shape (W, 31).

    Args:
        lips: Embeddings of windows, shape (W, D).
        sound: Embeddings of the audio, shape (M, D).
        heard: Indices of those that belong to a window at each shift from -15 to 15 frames, shape (W, 31); -1 past the
            audio's ends, where its embedding is zero.

    Source: SyncNet's calc_pdist, whose distance adds 1e-6 to every difference.
    """
    by_shift = np.empty(heard.shape, np.float32)
    with_silence = np.concatenate([sound, np.zeros((1, lips.shape[1]), np.float32)])
    for place in range(heard.shape[1]):
        difference = lips.astype(np.float64) - with_silence[heard[:, place]] + _EPSILON
        by_shift[:, place] = np.sqrt((difference**2).sum(axis=1))
    return by_shift


def reduce(total: F64Array, windows: int) -> Score:
    """Return the score of windows whose distances were summed.

    Args:
        total: Sums of distances at each shift, shape (31,).
        windows: Number of windows that were summed, at least one.

    Source: SyncNet's evaluate; minimum and median are taken of the means over the whole.
    """
    mean = total / windows
    least = float(mean.min())
    return Score(least, float(np.median(mean)) - least, MOST_SHIFT - int(mean.argmin()), windows)


class Curve:
    """LSE-C of each second's windows, from parts in any order."""

    def __init__(self) -> None:
        self._total = np.zeros((0, SHIFTS))
        self._windows = np.zeros(0, np.int64)

    def add(self, at: I64Array, distance: F32Array, rate_hz: int = 25) -> None:
        """Take in windows: the first frame of each, and its distances, shape (W, 31).

        Args:
            at: First frame of each window, shape (W,).
            distance: Distances at all shifts, shape (W, 31).
            rate_hz: Frames a second, by which `at` counts.
        """
        if not len(at):
            return
        second = at // rate_hz
        longer = int(second.max()) + 1 - len(self._windows)
        if longer > 0:
            self._total = np.pad(self._total, ((0, longer), (0, 0)))
            self._windows = np.pad(self._windows, (0, longer))
        np.add.at(self._total, second, distance.astype(np.float64))
        self._windows += np.bincount(second, minlength=len(self._windows))

    def values(self) -> list[float | None]:
        """Return a value a second, None for seconds without windows."""
        return [
            reduce(total, int(windows)).lse_c if windows else None
            for total, windows in zip(self._total, self._windows, strict=True)
        ]

    def rounded(self) -> list[float | None]:
        """Return the same for records."""
        return [None if value is None else round(value, _DIGITS) for value in self.values()]
