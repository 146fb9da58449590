"""Continuity of the people of a shot: which of those who have gone the one who comes may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lipwise_ray.faces.colour import COLOURS, difference
from lipwise_ray.faces.tracks import MIN_AFFINITY, Tracks, affinity
from lipwise_ray.values import F32Array, F64Array, I64Array

_ELSEWHERE = 3.0
"""So far is near enough, in sides of a face."""

_ALIKE, _OTHERS, _SIDE = 6.0, 15.0, 5.0
"""Differences of colour: of one person who may have gone anywhere; of two people; and that counts as much as a side."""


class Appearances:
    """Places at which people come and go, and their colours.

    Args:
        tracks: Of the video.
        numbers: The tracks of a shot.
    """

    def __init__(self, tracks: Tracks, numbers: Sequence[int]) -> None:
        rows = [tracks.rows(number) for number in numbers]
        self._first, self._last = tracks.box[[one.start for one in rows]], tracks.box[[one.stop - 1 for one in rows]]
        self._colour = np.full((len(numbers), COLOURS), np.nan, np.float32)
        if tracks.colour is not None:
            self._colour = tracks.colour[np.searchsorted(tracks.numbers, numbers)]

    def at_one_place(self, gone: I64Array, comes: int) -> F64Array:
        """Return the affinities of places of some who have gone to that of one who comes; minus infinity of others.

        Args:
            gone: Places of theirs in `numbers`, shape (N,).
            comes: Place of the one who comes.
        """
        alike = affinity(self._last[gone], self._first[comes][None])[:, 0]
        return np.where((alike >= MIN_AFFINITY) & ~(self._difference(gone, comes) >= _OTHERS), alike, -np.inf)

    def elsewhere(self, gone: I64Array, comes: int) -> F64Array:
        """Return the nearness of some who have gone to one who comes, by place and colour, below zero.

        Minus infinity of those who are too far, unless they have very much the same colours, and of those who have
        others.

        Args:
            gone: Places of theirs in `numbers`, shape (N,).
            comes: Place of the one who comes.
        """
        far, colour = distance(self._last[gone], self._first[comes]), self._difference(gone, comes)
        may_be = ((far <= _ELSEWHERE) & ~(colour >= _OTHERS)) | (colour <= _ALIKE)
        return np.where(may_be, -far - np.nan_to_num(colour) / _SIDE, -np.inf)

    def _difference(self, gone: I64Array, comes: int) -> F64Array:
        return difference(self._colour[gone], self._colour[comes])


def distance(old: F32Array, new: F32Array) -> F64Array:
    """Return the distances of boxes to one in sides of the larger, shape (N,). Another size counts as much as a side.

    Args:
        old: Shape (N, 4).
        new: Shape (4,).
    """
    side_old, side_new = (np.sqrt((box[..., 2:] - box[..., :2]).prod(axis=-1)) for box in (old, new))
    apart = np.linalg.norm((old[:, :2] + old[:, 2:] - new[:2] - new[2:]) / 2, axis=1)
    return (apart / np.maximum(side_old, side_new) + 2 * np.abs(np.log(side_new / side_old))).astype(np.float64)
