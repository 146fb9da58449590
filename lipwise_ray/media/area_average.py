"""Exact averages of a row of samples over equal steps that begin anywhere, as upright crops are made smaller.

Between its samples the row is what cubic interpolation makes of it, so that little detail is lost; each new sample is
the integral of that over its own step, so that no sample of the row is skipped and nothing moves by a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.polynomial import Polynomial

from lipwise_ray.values import F32Array, F64Array, I64Array, PixelArray

_A = -0.75
"""The free coefficient of the cubic kernel, as OpenCV has it."""

_NEAR = Polynomial([1.0, 0.0, -(_A + 3), _A + 2]).integ()
_FAR = Polynomial([-4 * _A, 8 * _A, -5 * _A, _A]).integ()
"""Integrals of the kernel by the distance: within one sample, and from there to two."""

_AFTER = Polynomial([0.0, 1.0])
_SHARES: F64Array = np.stack(
    [
        share.coef
        for share in (
            0.5 + _NEAR(1.0) + _FAR(1 + _AFTER) - _FAR(1.0),
            0.5 + _NEAR(_AFTER),
            0.5 - _NEAR(1 - _AFTER),
            0.5 - _NEAR(1.0) - _FAR(2 - _AFTER) + _FAR(1.0),
        )
    ],
    axis=1,
).astype(np.float64)
"""Shares of the four samples around an edge that lie before it, by the powers of how far it is after the second one,
shape (5, 4). Samples before those lie before it wholly, samples after them not at all."""

_TAPS = _SHARES.shape[1]
_BLOCK = 16
"""Averages a product: of more, most weights in it are 0; of fewer, there is little to do in a call."""


@dataclass(frozen=True, slots=True)
class AreaWeights:
    """Weights of the samples of a row for its averages: of each one's own few, all others are 0.

    Attributes:
        first: Number of the first sample of each average, shape (averages,); it may be before the row.
        weights: Of it and those after it, shape (averages, samples), float32; they sum up to 1.
    """

    first: I64Array
    weights: F32Array

    @property
    def samples(self) -> slice:
        """Numbers of the samples that have weights; they may be before the row and after it."""
        ends = int(self.first[0]), int(self.first[-1])
        return slice(min(ends), max(ends) + self.weights.shape[1])


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """The same weights in blocks beside the diagonal, each for a product of matrices.

    Attributes:
        count: Number of averages.
        samples: Numbers of the samples that have weights; they may be before the row and after it.
        blocks: Averages of each, their samples counted from the first one of `samples`, and the weights of these.
    """

    count: int
    samples: slice
    blocks: list[tuple[slice, slice, F32Array]]


def in_blocks(rows: Sequence[AreaWeights]) -> list[BlockWeights]:
    """Return the weights of several rows of as many averages in blocks.

    All are laid out at once: each is a few hundred numbers, and a call costs more than those.
    """
    samples = [row.samples for row in rows]
    first = np.stack([row.first - part.start for row, part in zip(rows, samples, strict=True)])
    weights = np.stack([row.weights for row in rows])
    count, taps = weights.shape[1:]
    tops = np.arange(0, count, _BLOCK)
    ends = np.minimum(tops + _BLOCK, count) - 1
    begin, stop = np.minimum(first[:, tops], first[:, ends]), np.maximum(first[:, tops], first[:, ends]) + taps
    most = int((stop - begin).max())
    dense: F32Array = np.zeros((len(rows), count, most), np.float32)
    begins = np.arange(0, dense.size, most).reshape(first.shape) + first
    begins -= np.repeat(begin, _BLOCK, axis=1)[:, :count]
    dense.reshape(-1)[begins[..., None] + np.arange(taps)] = weights
    found: list[BlockWeights] = []
    for own, part, starts, stops in zip(dense, samples, begin.tolist(), stop.tolist(), strict=True):
        parts = zip(tops.tolist(), starts, stops, strict=True)
        blocks = [(slice(top, top + _BLOCK), slice(a, b), own[top : top + _BLOCK, : b - a]) for top, a, b in parts]
        found.append(BlockWeights(count, part, blocks))
    return found


def area_weights(starts: F64Array, steps: F64Array, count: int) -> list[AreaWeights]:
    """Return the weights of averages over equal steps, of several rows at once.

    Args:
        starts: Place of the first average's centre in each row, where samples are at whole numbers, shape (rows,).
        steps: Distance from average to average in it, and what each one covers; below 0 they go backwards.
        count: Number of averages of each row.
    """
    begin, step = starts[:, None], steps[:, None]
    low = np.where(step > 0, begin, begin + step * (count - 1))
    size = np.abs(step)
    edges = low + size * (np.arange(count + 1) - 0.5)
    second = np.floor(edges)
    after = edges - second
    # Powers, shares and weights lie one after the other: steps over long rows are cheaper than over four numbers.
    powers = np.ones((len(_SHARES), *after.shape))
    powers[1] = after
    for power in range(2, len(_SHARES)):
        np.multiply(powers[power - 1], after, out=powers[power])
    taps = (_SHARES.T @ powers.reshape(len(_SHARES), -1)).reshape(_TAPS, *after.shape)
    whole = np.diff(second).astype(np.int64)
    place = np.arange(int(whole.max()) + _TAPS)
    weights = (place[:, None, None] < whole).astype(np.float64)
    # What lies before an average's end lies in it, but for what lies before its begin.
    ends = whole * whole.size + np.arange(whole.size).reshape(whole.shape)
    for tap in range(_TAPS):
        weights.reshape(-1)[ends + tap * whole.size] = taps[tap, :, 1:]
    weights[:_TAPS] -= taps[..., :-1]
    weights = np.moveaxis((weights / size).astype(np.float32), 0, 2)
    first = second[:, :-1].astype(np.int64) - 1
    return [
        AreaWeights(one, own) if length > 0 else AreaWeights(one[::-1], own[::-1])
        for one, own, length in zip(first, weights, steps, strict=True)
    ]


class AreaAverage:
    """Averages of planes over the cells of a grid.

    Args:
        across: Weights of a plane's columns.
        down: Weights of its rows.
    """

    def __init__(self, across: BlockWeights, down: BlockWeights) -> None:
        self._across = across
        self._down = down

    def __call__(self, plane: PixelArray) -> F32Array:
        """Return the averages of a plane, not rounded, shape (averages down, averages across).

        Args:
            plane: Samples, shape (H, W); past its edge the edge repeats.
        """
        across, down = self._across, self._down
        part = repeated(plane, down.samples, across.samples).astype(np.float32)
        rows = np.empty((down.count, part.shape[1]), np.float32)
        for averages, samples, weights in down.blocks:
            np.matmul(weights, part[samples], out=rows[averages])
        turned, columns = np.empty((across.count, down.count), np.float32), np.ascontiguousarray(rows.T)
        for averages, samples, weights in across.blocks:
            np.matmul(weights, columns[samples], out=turned[averages])
        return np.ascontiguousarray(turned.T)


def repeated(plane: PixelArray, rows: slice, columns: slice) -> PixelArray:
    """Return part of a plane that may reach past its edge, which repeats there.

    Args:
        plane: Shape (H, W).
        rows: Any numbers, some below 0 or from H on.
        columns: The same.
    """
    height, width = plane.shape
    inner = plane[max(0, rows.start) : max(0, rows.stop), max(0, columns.start) : max(0, columns.stop)]
    if inner.size:
        above, below = max(0, -rows.start), max(0, rows.stop - height)
        left, right = max(0, -columns.start), max(0, columns.stop - width)
        if not (above or below or left or right):
            return inner
        return cast("PixelArray", cv2.copyMakeBorder(inner, above, below, left, right, cv2.BORDER_REPLICATE))
    down = np.clip(np.arange(rows.start, rows.stop), 0, height - 1)
    across = np.clip(np.arange(columns.start, columns.stop), 0, width - 1)
    return plane[down[:, None], across[None, :]]
