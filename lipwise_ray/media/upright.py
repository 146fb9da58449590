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


def with_edges(image: F32Array, border: int) -> F32Array:
    """Return an image or mask with the samples past its edge that grids have weights for.

    Args:
        image: Shape (S, S), or (S, S, channels).
        border: OpenCV's number of how it goes on there.
    """
    return np.asarray(cv2.copyMakeBorder(image, _BEFORE, _AFTER, _BEFORE, _AFTER, border), np.float32)


def without_edges(image: F32Array) -> F32Array:
    """Return the image that `with_edges` was given, whatever lies between its rows and columns; a view."""
    return image[_BEFORE:-_AFTER, ..., _BEFORE:-_AFTER]


@dataclass(frozen=True, slots=True)
class UprightGrid:
    """Samples of an upright rectangle of planes, as an image that is laid over it has them.

    Attributes:
        window: Rows and columns of the rectangle.
        swaps: Its rows are the image's columns.
        rows: Rows of the image that any of its rows are made of.
        down: Rows that are made in one product, their samples and the weights of the cubic and of the linear kernel,
            shape (rows, samples) each.
        across: The same of the columns.
    """

    window: PlanePart
    swaps: bool
    rows: slice
    down: Sequence[_Product]
    across: Sequence[_Product]

    def image(self, planes: F32Array, kernel: Kernel) -> F32Array:
        """Return the samples of planes of an image, shape (planes, H, W).

        Args:
            planes: With edges, shape (rows, planes, columns): what lies side by side is one product.
            kernel: Kernel by which they are resampled.
        """
        upright = planes.transpose(2, 1, 0) if self.swaps else planes
        height, width = (part.stop - part.start for part in self.window)
        lines = upright[self.rows].reshape(-1, upright.shape[2])
        columns = np.empty((len(lines), width), np.float32)
        for made, used, cubic, linear in self.across:
            np.matmul(lines[:, used], (cubic if kernel == "cubic" else linear).T, out=columns[:, made])
        columns = columns.reshape(self.rows.stop - self.rows.start, -1)
        whole = np.empty((height, columns.shape[1]), np.float32)
        for made, used, cubic, linear in self.down:
            samples = columns[used.start - self.rows.start : used.stop - self.rows.start]
            np.matmul(cubic if kernel == "cubic" else linear, samples, out=whole[made])
        return whole.reshape(height, -1, width).transpose(1, 0, 2)

    def opacity(self, weight: F32Array) -> F32Array:
        """Return the samples of a mask with edges by the linear kernel, shape (H, W)."""
        return self.image(weight[:, None], "linear")[0]


def upright_grids(maps: Sequence[F64Array], windows: Sequence[PlanePart], sides_px: Sequence[int]) -> list[UprightGrid]:
    """Return grids of rectangles in planes.

    Args:
        maps: Maps from an image's pixel numbers to a plane's, shape (2, 3) each; rows and columns stay such, or are
            swapped.
        windows: Rows and columns of each rectangle.
        sides_px: Side of each image.
    """
    if not maps:
        return []
    # The places of all rows and columns at once: each is a few hundred numbers, and a call costs more than those.
    lines = np.concatenate(maps).reshape(-1, 2, 3)[:, ::-1].reshape(-1, 3)  # those of rows, then of columns, as windows
    parts = [part for window in windows for part in window]
    counts = [-(-(part.stop - part.start) // _BLOCK) for part in parts]
    of_block = np.repeat(np.arange(len(parts)), counts)
    starts = [start for part in parts for start in range(part.start, part.stop, _BLOCK)]
    numbers = np.minimum(
        np.array(starts)[:, None] + np.arange(_BLOCK), np.array([part.stop - 1 for part in parts])[of_block, None]
    )
    places = (numbers - lines[of_block, 2:]) / (lines[:, 0] + lines[:, 1])[of_block, None]
    places = np.clip(places, 1 - _BEFORE, np.repeat(sides_px, 2)[of_block, None] + (_AFTER - _TAPS + 1))
    second = np.floor(places)
    first = second.astype(np.int64) + (_BEFORE - 1)
    begin = np.minimum(first[:, 0], first[:, -1])
    spans = np.maximum(first[:, 0], first[:, -1]) + _TAPS - begin
    cubic, linear = _weights(first - begin[:, None], places - second, int(spans.max()))
    blocks = iter(zip(begin.tolist(), (begin + spans).tolist(), cubic, linear, strict=True))
    grids: list[UprightGrid] = []
    for affine, window in zip(maps, windows, strict=True):
        down, across = (_products(blocks, part.stop - part.start) for part in window)
        rows = slice(min(used.start for _, used, *_ in down), max(used.stop for _, used, *_ in down))
        grids.append(UprightGrid(window, bool(affine[0, 0] == 0), rows, down, across))
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
