"""Doubts about the frames between two looks: where faces come, go, or may have jumped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.faces.pairing import best_pairs
from lipwise_ray.faces.tracks import MIN_AFFINITY, affinity, jumps, most_moved
from lipwise_ray.pipeline.analysis.looks import Look
from lipwise_ray.values import F64Array, I64Array

_FAR_MOVED = 0.25
"""Sides of a face that are too far for a curve to know its way, however fast it moves."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Faces that are seen in two looks.

    Attributes:
        old: Their rows in the first, shape (N,).
        new: Their rows in the second, shape (N,).
        step: How far they moved in between, in their sides, shape (N,).
        frames: Frames in between.
        is_complete: No other likely face is in either.
    """

    old: I64Array
    new: I64Array
    step: F64Array
    frames: int
    is_complete: bool

    @property
    def in_doubt(self) -> bool | None:
        """True where the frames in between are to be looked at; None where what is around them decides."""
        if not self.is_complete or (self.step > _FAR_MOVED).any():
            return True
        return None if (self.step > most_moved(self.frames, np.zeros(1))).any() else False


def moves(old: Look, new: Look) -> Moves:
    """Pair what may be one face in two looks, with the distances that they moved, where it is likely one in either.

    Args:
        old: The first.
        new: The second, later.
    """
    before, after = old.candidates.box, new.candidates.box
    score = affinity(before, after) if len(before) and len(after) else np.zeros((len(before), len(after)))
    rows, columns = best_pairs(-score)
    same = (score[rows, columns] >= MIN_AFFINITY) & (old.is_likely[rows] | new.is_likely[columns])
    rows, columns = rows[same], columns[same]
    is_complete = bool(np.isin(old.is_likely.nonzero(), rows).all() and np.isin(new.is_likely.nonzero(), columns).all())
    step = jumps(before[rows].astype(np.float64), after[columns].astype(np.float64))
    return Moves(rows, columns, step, new.number - old.number, is_complete)


def may_jump(now: Moves, earlier: Moves | None, later: Moves | None) -> bool:
    """Tell whether a face moved further than the moves beside make likely: where a track would be cut.

    Args:
        now: The moves between two looks.
        earlier: Those from the look before; None behind a cut.
        later: Those to the look after; None before a cut.
    """
    speed = np.zeros(len(now.step))
    if earlier is not None:
        speed = _speeds(earlier, earlier.new, now.old)
    if later is not None:
        speed = np.maximum(speed, _speeds(later, later.old, now.new))
    return bool(np.any(now.step > most_moved(now.frames, speed)))


def _speeds(beside: Moves, there: I64Array, rows: I64Array) -> F64Array:
    """Return the speeds of some faces, by their rows, in sides a frame; 0 for those who are not seen there."""
    is_same = rows[:, None] == there[None, :]
    return np.asarray((is_same * beside.step).max(axis=1, initial=0.0) / beside.frames, np.float64)
