"""Exact averages of a row of samples over equal steps that begin anywhere, as upright crops are made smaller.

Between its samples the row is what cubic interpolation makes of it, so that little detail is lost; each new sample is
the integral of that over its own step, so that no sample of the row is skipped and nothing moves by a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add
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
    """Weights of the samples of a row for its averages, in blocks: samples that a block has no weights for have no say.

    Attributes:
        count: Number of averages.
        first: Number of the first sample of each block, shape (blocks,); it may be before the row.
        spans: Number of samples of each block, the same shape.
        weights: Of each average in each block, shape (blocks, averages, samples), float32; they sum up to 1. What
            comes after the last average, and after a block's samples, is 0.
    """

    count: int
    first: I64Array
    spans: I64Array
    weights: F32Array

    @property
    def samples(self) -> slice:
        """Numbers of the samples that have weights; they may be before the row and after it."""
        first = self.first.tolist()  # so few that numbers are quicker one by one
        return slice(min(first), max(map(add, first, self.spans.tolist())))

    def blocks(self) -> list[tuple[slice, slice, F32Array]]:
        """Return the averages of each block, its samples, and the weights of these."""
        size = self.weights.shape[1]
        starts = range(0, self.count, size)
        return [
            (slice(start, start + size), slice(first, first + span), own[: self.count - start, :span])
            for start, first, span, own in zip(
                starts, self.first.tolist(), self.spans.tolist(), self.weights, strict=True
            )
        ]


def area_weights(starts: F64Array, steps: F64Array, count: int, together: int = _BLOCK) -> list[AreaWeights]:
    """Return the weights of averages over equal steps, of several rows at once.

    All rows are padded to the widest block of any, so those that come together had better be of like steps.

    Args:
        starts: Place of the first average's centre in each row, where samples are at whole numbers, shape (rows,).
        steps: Distance from average to average in it, and what each one covers; below 0 they go backwards.
        count: Number of averages of each row.
        together: Averages a block.
    """
    edges = starts[:, None] + steps[:, None] * (np.arange(count + 1) - 0.5)
    second = np.floor(edges)
    after = edges - second
    shares = _SHARES[-1][:, None, None]
    for share in _SHARES[-2::-1]:
        shares = shares * after + share[:, None, None]
    # Of every edge, the shares of a block's samples that lie before it; an average is what lies between two.
    bounds = np.minimum(np.arange(0, count, together)[:, None] + np.arange(together + 1), count)
    place = np.take(second.astype(np.int32) - 1, bounds, axis=1)
    ends = place[..., 0], place[..., -1]
    first = np.minimum(*ends)
    spans = np.maximum(*ends) - first + _TAPS
    place -= first[..., None]
    samples = int(spans.max())
    before = np.less(np.arange(samples, dtype=np.int32), place[..., None]).astype(np.float32)
    taps = place + np.arange(0, before.size, samples).reshape(place.shape) + np.arange(_TAPS)[:, None, None, None]
    before.reshape(-1)[taps] = np.take(shares, bounds, axis=2)
    weights = before[:, :, 1:] - before[:, :, :-1]
    weights /= steps.astype(np.float32)[:, None, None, None]
    return [AreaWeights(count, *own) for own in zip(first, spans, weights, strict=True)]


class AreaAverage:
    """Averages of planes over the cells of a grid.

    Args:
        across: Weights of a plane's columns.
        down: Weights of its rows.
    """

    def __init__(self, across: AreaWeights, down: AreaWeights) -> None:
        self._samples = down.samples, across.samples
        self._size = down.count, across.count
        self._across = across.blocks()
        self._down = down.blocks()

    def __call__(self, planes: Sequence[PixelArray]) -> F32Array:
        """Return the averages of planes, not rounded, shape (planes, averages down, averages across).

        Args:
            planes: Samples of each, shape (H, W); past its edge the edge repeats.
        """
        rows, columns = self._samples
        height, width = rows.stop - rows.start, columns.stop - columns.start
        # Rows of all planes lie side by side, so that each product is one of all planes.
        part = np.empty((height, len(planes), width), np.float32)
        for number, plane in enumerate(planes):
            part[:, number] = repeated(plane, rows, columns)
        flat = part.reshape(height, -1)
        lines = np.empty((self._size[0], flat.shape[1]), np.float32)
        for averages, samples, weights in self._down:
            np.matmul(weights, flat[samples.start - rows.start : samples.stop - rows.start], out=lines[averages])
        lines = lines.reshape(-1, width)
        whole = np.empty((len(lines), self._size[1]), np.float32)
        for averages, samples, weights in self._across:
            of_block = lines[:, samples.start - columns.start : samples.stop - columns.start]
            np.matmul(of_block, weights.T, out=whole[:, averages])
        return whole.reshape(self._size[0], len(planes), -1).transpose(1, 0, 2)


@lru_cache(maxsize=16)
def area_averages(maps: bytes, size_px: int) -> list[AreaAverage]:
    """Return the averages of upright regions of planes: a face is measured before and after it is laid over.

    Args:
        maps: Maps from pixel numbers of a square image to those of each plane, shape (planes, 2, 3), as the bytes of
            float64; columns and rows stay such, or are swapped.
        size_px: Side of the images.
    """
    lines = np.frombuffer(maps, np.float64).reshape(-1, 3)
    weights = iter(area_weights(lines[:, 2], lines[:, 0] + lines[:, 1], size_px))
    return list(map(AreaAverage, weights, weights))


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
