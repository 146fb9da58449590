"""Resampling of small images to upright rectangles of planes: first along the rows, then along the columns.

Where a row of the image becomes a row of the plane, a new sample needs four samples of each direction in place of the
sixteen around it, and all of them are products of small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
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

_Product = tuple[slice, slice]
"""New samples, and the image's samples of which they are made."""


@dataclass(frozen=True, slots=True)
class UprightGrid:
    """Samples of an upright rectangle of a plane, as an image that is laid over it has them.

    Attributes:
        size: Rows and columns of the rectangle.
        swaps: Its rows are the image's columns.
        cubic: Weights of the image's samples for the rectangle's rows, shape (rows, samples), and for its columns.
        linear: The same of the linear kernel.
        blocks: Parts of the rows, and of the columns, that are made in one product.
    """

    size: tuple[int, int]
    swaps: bool
    cubic: tuple[F32Array, F32Array]
    linear: tuple[F32Array, F32Array]
    blocks: tuple[Sequence[_Product], Sequence[_Product]]

    def image(self, plane: F32Array, kernel: Kernel) -> F32Array:
        """Return the samples of an image's plane of shape (S, S); past its edge the edge repeats."""
        return self._product(plane, self.cubic if kernel == "cubic" else self.linear, cv2.BORDER_REPLICATE)

    def opacity(self, weight: F32Array) -> F32Array:
        """Return the samples of a mask of shape (S, S) by the linear kernel; past its edge there is nothing."""
        return self._product(weight, self.linear, cv2.BORDER_CONSTANT)

    def _product(self, image: F32Array, weights: tuple[F32Array, F32Array], edge: int) -> F32Array:
        upright = image.T if self.swaps else image
        padded = np.asarray(cv2.copyMakeBorder(upright, _BEFORE, _AFTER, _BEFORE, _AFTER, edge), np.float32)
        down, across = self.blocks
        rows = slice(min(used.start for _, used in down), max(used.stop for _, used in down))
        columns = np.empty((len(padded), self.size[1]), np.float32)
        for made, used in across:
            np.matmul(padded[rows, used], weights[1][made, used].T, out=columns[rows, made])
        whole = np.empty(self.size, np.float32)
        for made, used in down:
            np.matmul(weights[0][made, used], columns[used], out=whole[made])
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
            axes.append((np.arange(part.start, part.stop) - line[2]) / (line[0] + line[1]))
    places = np.clip(np.concatenate(axes), 1 - _BEFORE, size_px + _AFTER - _TAPS + 1)
    second = np.floor(places)
    first = second.astype(np.int64) + (_BEFORE - 1)
    cubic, linear = _weights(first, places - second, size_px + _BEFORE + _AFTER)
    grids: list[UprightGrid] = []
    begin = 0
    for number, (affine, (rows, columns)) in enumerate(zip(maps, windows, strict=True)):
        middle = begin + len(axes[2 * number])
        end = middle + len(axes[2 * number + 1])
        parts = slice(begin, middle), slice(middle, end)
        grids.append(
            UprightGrid(
                (rows.stop - rows.start, columns.stop - columns.start),
                bool(affine[0, 0] == 0),
                (cubic[parts[0]], cubic[parts[1]]),
                (linear[parts[0]], linear[parts[1]]),
                (_blocks(first[parts[0]]), _blocks(first[parts[1]])),
            )
        )
        begin = end
    return grids


def _weights(first: I64Array, after: F64Array, samples: int) -> tuple[F32Array, F32Array]:
    """Return the weights of the cubic and of the linear kernel, shape (N, samples) each.

    Args:
        first: Numbers of the first of the four samples around each place, shape (N,).
        after: Distance of the place from the second one, in [0, 1).
        samples: Number of the samples.
    """
    far, left = after + 1, 1 - after
    before = ((_A * far - 5 * _A) * far + 8 * _A) * far - 4 * _A
    here = ((_A + 2) * after - (_A + 3)) * after * after + 1
    there = ((_A + 2) * left - (_A + 3)) * left * left + 1
    taps = np.array([before, here, there, 1 - before - here - there], np.float32)
    cubic, linear = np.zeros((2, len(first), samples), np.float32)
    begins = np.arange(0, cubic.size, samples) + first
    cubic.reshape(-1)[begins + np.arange(_TAPS)[:, None]] = taps
    linear.reshape(-1)[begins + np.array([[1], [2]])] = [left, after]
    return cubic, linear


def _blocks(first: I64Array) -> list[_Product]:
    """Return parts of new samples and the samples that each needs, by the numbers of the first ones."""
    numbers = first.tolist()
    blocks: list[_Product] = []
    for begin in range(0, len(numbers), _BLOCK):
        part = numbers[begin : begin + _BLOCK]
        ends = part[0], part[-1]
        blocks.append((slice(begin, begin + len(part)), slice(min(ends), max(ends) + _TAPS)))
    return blocks
