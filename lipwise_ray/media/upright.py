"""Resampling of small images to upright rectangles of planes: first along the rows, then along the columns.

Where a row of the image becomes a row of the plane, a new sample needs four samples of each direction in place of the
sixteen around it, and all of them are products of small matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.values import F32Array, F64Array, I64Array

if TYPE_CHECKING:
    from lipwise_ray.media.region import Kernel, PlanePart

_A = -0.75
"""The free coefficient of the cubic kernel, as OpenCV has it."""

_TAPS = 4
_BEFORE, _AFTER = 3, 4
"""Samples past an image's edge that places just outside of it have weights for."""

_BLOCK = 64
"""New samples a product: of more, most weights in it are 0; of fewer, there is little to do in a call."""

_Product = tuple[slice, slice, F32Array, F32Array]
"""New samples, the image's samples of which they are made, and the weights of these by both kernels."""


@dataclass(frozen=True, slots=True)
class UprightGrid:
    """Samples of an upright rectangle of a plane, as an image that is laid over it has them.

    Attributes:
        size: Rows and columns of the rectangle.
        swaps: Its rows are the image's columns.
        rows: Rows of the image that any of its rows are made of.
        down: Rows that are made in one product, their samples and the weights of the cubic and of the linear kernel,
            shape (rows, samples) each.
        across: The same of the columns.
    """

    size: tuple[int, int]
    swaps: bool
    rows: slice
    down: Sequence[_Product]
    across: Sequence[_Product]

    def image(self, plane: F32Array, kernel: Kernel) -> F32Array:
        """Return the samples of an image's plane of shape (S, S); past its edge the edge repeats."""
        return self._product(plane, kernel, cv2.BORDER_REPLICATE)

    def opacity(self, weight: F32Array) -> F32Array:
        """Return the samples of a mask of shape (S, S) by the linear kernel; past its edge there is nothing."""
        return self._product(weight, "linear", cv2.BORDER_CONSTANT)

    def _product(self, image: F32Array, kernel: Kernel, edge: int) -> F32Array:
        upright = image.T if self.swaps else image
        padded = np.asarray(cv2.copyMakeBorder(upright, _BEFORE, _AFTER, _BEFORE, _AFTER, edge), np.float32)
        columns = np.empty((len(padded), self.size[1]), np.float32)
        for made, used, cubic, linear in self.across:
            np.matmul(padded[self.rows, used], (cubic if kernel == "cubic" else linear).T, out=columns[self.rows, made])
        whole = np.empty(self.size, np.float32)
        for made, used, cubic, linear in self.down:
            np.matmul(cubic if kernel == "cubic" else linear, columns[used], out=whole[made])
        return whole


def upright_grids(maps: Sequence[F64Array], windows: Sequence[PlanePart], size_px: int) -> list[UprightGrid]:
    """Return grids of rectangles in planes of one frame.

    Args:
        maps: Maps from the image's pixel numbers to each plane's, shape (2, 3); rows and columns stay such, or are
            swapped.
        windows: Rows and columns of each rectangle.
        size_px: Side of the image.
    """
    # The places of all rows and columns at once: each is a few hundred numbers, and a call costs more than those.
    axes: list[F64Array] = []
    for (across, down), window in zip(maps, windows, strict=True):
        for line, part in zip((down, across), window, strict=True):
            numbers = np.arange(part.start, part.start + -(-(part.stop - part.start) // _BLOCK) * _BLOCK)
            axes.append((np.minimum(numbers, part.stop - 1) - line[2]) / (line[0] + line[1]))
    places = np.clip(np.concatenate(axes), 1 - _BEFORE, size_px + _AFTER - _TAPS + 1).reshape(-1, _BLOCK)
    second = np.floor(places)
    first = second.astype(np.int64) + (_BEFORE - 1)
    begin = np.minimum(first[:, 0], first[:, -1])
    spans = np.maximum(first[:, 0], first[:, -1]) + _TAPS - begin
    cubic, linear = _weights(first - begin[:, None], places - second, int(spans.max()))
    blocks = iter(zip(begin.tolist(), (begin + spans).tolist(), cubic, linear, strict=True))
    grids: list[UprightGrid] = []
    for affine, window in zip(maps, windows, strict=True):
        down, across = (_products(blocks, part.stop - part.start) for part in window)
        size = window[0].stop - window[0].start, window[1].stop - window[1].start
        rows = slice(min(used.start for _, used, *_ in down), max(used.stop for _, used, *_ in down))
        grids.append(UprightGrid(size, bool(affine[0, 0] == 0), rows, down, across))
    return grids


def _products(blocks: Iterator[tuple[int, int, F32Array, F32Array]], count: int) -> list[_Product]:
    """Return the products that make so many new samples, of the blocks that come next."""
    made: list[_Product] = []
    for start in range(0, count, _BLOCK):
        begin, stop, cubic, linear = next(blocks)
        part = slice(0, min(_BLOCK, count - start)), slice(0, stop - begin)
        made.append((slice(start, start + part[0].stop), slice(begin, stop), cubic[part], linear[part]))
    return made


def _weights(first: I64Array, after: F64Array, samples: int) -> tuple[F32Array, F32Array]:
    """Return the weights of the cubic and of the linear kernel, shape (blocks, places, samples) each.

    Args:
        first: Numbers of the first of the four samples around each place, from its block's first one on, shape
            (blocks, places).
        after: Distance of the place from the second one, in [0, 1), the same shape.
        samples: Number of the samples of a block.
    """
    far, left = after + 1, 1 - after
    before = ((_A * far - 5 * _A) * far + 8 * _A) * far - 4 * _A
    here = ((_A + 2) * after - (_A + 3)) * after * after + 1
    there = ((_A + 2) * left - (_A + 3)) * left * left + 1
    taps = np.array([before, here, there, 1 - before - here - there], np.float32)
    cubic, linear = np.zeros((2, *first.shape, samples), np.float32)
    begins = np.arange(0, cubic.size, samples).reshape(first.shape) + first
    cubic.reshape(-1)[begins + np.arange(_TAPS)[:, None, None]] = taps
    linear.reshape(-1)[begins + np.array([1, 2])[:, None, None]] = [left, after]
    return cubic, linear
