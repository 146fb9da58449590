"""Order statistics: of a few images, pixel by pixel, and of a few rows of many numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from lipwise_ray.values import BoolArray, F32Array

_Step = tuple[int, int, Literal["both", "smaller", "larger"]]


def ranked(planes: Sequence[F32Array], rank: int) -> F32Array:
    """Return the plane of the values that have a rank among those of their pixel.

    Args:
        planes: At least one, of one shape.
        rank: From 0 for the smallest.
    """
    return _by_rank(planes, (rank,))[0]


def median(planes: Sequence[F32Array]) -> F32Array:
    """Return the median of planes, pixel by pixel: of an even number the mean of the two middle ones.

    Args:
        planes: At least one, of one shape.
    """
    middle = len(planes) // 2
    if len(planes) % 2:
        return ranked(planes, middle)
    below, above = _by_rank(planes, (middle - 1, middle))
    return np.asarray((below + above) / 2, np.float32)


def medians(rows: F32Array, use: BoolArray | None = None) -> F32Array:
    """Return the median of each row, shape (B, R).

    Args:
        rows: At least one number in each, shape (B, R, K).
        use: Numbers of all rows of each of B that count, shape (B, K), at least one of each; all if left out.
    """
    if use is None:
        count = np.full(len(rows), rows.shape[2])
    else:
        count, rows = use.sum(axis=1), np.where(use[:, None], rows, np.float32(np.inf))
    ordered, each = np.sort(rows, axis=2), np.arange(len(rows))
    middle = ordered[each, :, (count - 1) // 2] + ordered[each, :, count // 2]
    return np.asarray(middle / 2, np.float32)


def _by_rank(planes: Sequence[F32Array], ranks: tuple[int, ...]) -> list[F32Array]:
    lanes = list(planes)
    for low, high, wanted in _network(len(lanes), ranks):
        smaller = None if wanted == "larger" else np.minimum(lanes[low], lanes[high])
        if wanted != "smaller":
            lanes[high] = np.maximum(lanes[low], lanes[high])
        if smaller is not None:
            lanes[low] = smaller
    return [lanes[rank] for rank in ranks]


@lru_cache(maxsize=64)
def _network(count: int, ranks: tuple[int, ...]) -> tuple[_Step, ...]:
    """Return the steps of a sorting network that some of its outputs need: whole images are compared at once.

    Source: Batcher 1968, odd-even merge sort, as in Knuth, The Art of Computer Programming 3, 5.2.2 M.
    """
    needed, steps = set(ranks), list[_Step]()
    for low, high in reversed(_comparisons(count)):
        if low in needed or high in needed:
            steps.append((low, high, "both" if {low, high} <= needed else "smaller" if low in needed else "larger"))
            needed |= {low, high}
    return tuple(reversed(steps))


def _comparisons(count: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    step = top
    while step:
        part, offset, distance = top, 0, step
        while True:
            pairs += [(low, low + distance) for low in range(count - distance) if low & step == offset]
            if part == step:
                break
            distance, part, offset = part - step, part >> 1, step
        step >>= 1
    return pairs
