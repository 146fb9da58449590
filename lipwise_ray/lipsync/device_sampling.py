"""Resampling of many rectangles of different sizes at once, with torch.

Every value is made by multiplications and additions of its own, one after the other: neither the other rectangles of a
call nor the number of values in it change a bit of it. Products of matrices and sums over a dimension would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from lipwise_ray.media.region import FIRST_EDGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lipwise_ray.values import F32Array, F64Array, I64Array

_A = -0.75
AROUND = (-1, 0, 1, 2)
"""Samples around a place that the cubic kernel weights, from the one before it on."""

_16_BIT = 0xFFFF


Averages: TypeAlias = "tuple[I64Array, F32Array]"
"""For each average the number of its first sample, shape (averages,), and the weights of it and those after it,
shape (averages, samples)."""


@dataclass(frozen=True, slots=True)
class Rectangles:
    """Rectangles of samples one after the other in one row of memory.

    Attributes:
        flat: The samples; those of 16 bits are kept as signed numbers, which every device knows.
        offset: Where each one begins, shape (B, 1, 1).
        stride: Samples from row to row, the same shape, as all that follow.
        left: Number of its first column in its plane.
        top: Number of its first row.
        width: Its columns.
        height: Its rows.
    """

    flat: Tensor
    offset: Tensor
    stride: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """Return samples by their columns and rows, shape (B, H, W), float32; past an edge it repeats."""
        column = torch.minimum((x - self.left).clamp_min(0), self.width - 1)
        row = torch.minimum((y - self.top).clamp_min(0), self.height - 1)
        samples = self.flat[self.offset + row * self.stride + column]
        if samples.dtype == torch.int16:
            samples = samples.to(torch.int32) & _16_BIT
        return samples.to(torch.float32)

    def of(self, numbers: Sequence[int]) -> Rectangles:
        """Return some of the rectangles."""
        chosen = numbers_on(numbers, self.offset.device)
        sizes = (self.offset, self.stride, self.left, self.top, self.width, self.height)
        return Rectangles(self.flat, *(one[chosen] for one in sizes))

    def holds(self, x: Tensor, y: Tensor) -> Tensor:
        """Tell which columns and rows are inside."""
        column, row = x - self.left, y - self.top
        return (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)


def of_images(images: Tensor, sides: Sequence[int]) -> Rectangles:
    """Return square images as rectangles.

    Args:
        images: Shape (B, S, S); of smaller ones the first rows and columns count.
        sides: Their sides.
    """
    count, side = images.shape[:2]
    zero = torch.zeros((count, 1, 1), dtype=torch.int64, device=images.device)
    offset = torch.arange(count, device=images.device)[:, None, None] * (side * side)
    sizes = column(sides, images.device)
    return Rectangles(images.reshape(-1), offset, zero + side, zero, zero, sizes, sizes)


def numbers_on(values: Sequence[int], device: torch.device) -> Tensor:
    """Return whole numbers on a device; nothing waits for them."""
    return torch.tensor(values, dtype=torch.int64).to(device, non_blocking=True)


def column(values: Sequence[int], device: torch.device) -> Tensor:
    """Return whole numbers, one a rectangle, shape (B, 1, 1)."""
    return numbers_on(values, device)[:, None, None]


def places(maps: Sequence[F64Array], width: int, height: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the places of a grid's pixels in each plane: columns and rows, shape (B, height, width), float64.

    Args:
        maps: Affine maps from the grid's pixel numbers to the planes', shape (2, 3) each.
        width: Columns of the grid.
        height: Its rows.
        device: Device of the result.
    """
    numbers = torch.from_numpy(np.stack(maps)).to(device, non_blocking=True)[:, :, :, None, None]
    x = torch.arange(width, device=device, dtype=torch.float64)
    y = torch.arange(height, device=device, dtype=torch.float64)[:, None]
    at_x, at_y = (numbers[:, axis, 2] + numbers[:, axis, 1] * y + numbers[:, axis, 0] * x for axis in (0, 1))
    return at_x, at_y


def cubic(source: Rectangles, at_x: Tensor, at_y: Tensor) -> Tensor:
    """Return samples between samples by the cubic kernel that OpenCV has, shape (B, H, W).

    Args:
        source: The samples.
        at_x: Columns, shape (B, H, W), float64.
        at_y: Rows.
    """
    x, weights_x = cubic_weights(at_x)
    y, weights_y = cubic_weights(at_y)
    total = torch.zeros_like(weights_x[0])
    for row, weight_y in zip(AROUND, weights_y, strict=True):
        line = torch.zeros_like(total)
        for beside, weight_x in zip(AROUND, weights_x, strict=True):
            line += weight_x * source.at(x + beside, y + row)
        total += weight_y * line
    return total


def linear(source: Rectangles, at_x: Tensor, at_y: Tensor, *, repeats: bool) -> Tensor:
    """Return samples between samples by straight lines, shape (B, H, W).

    Args:
        source: The samples.
        at_x: Columns, shape (B, H, W), float64.
        at_y: Rows.
        repeats: Past an edge it repeats; otherwise there is 0.
    """
    x, y = torch.floor(at_x), torch.floor(at_y)
    right, lower = (at_x - x).to(torch.float32), (at_y - y).to(torch.float32)
    x, y = x.to(torch.int64), y.to(torch.int64)
    total = torch.zeros_like(right)
    for row, weight_y in ((y, 1 - lower), (y + 1, lower)):
        line = torch.zeros_like(total)
        for beside, weight_x in ((x, 1 - right), (x + 1, right)):
            samples = source.at(beside, row)
            line += weight_x * (samples if repeats else samples * source.holds(beside, row))
        total += weight_y * line
    return total


def inside(at_x: Tensor, at_y: Tensor, sides: Tensor) -> Tensor:
    """Return 1 where a place is in an image of a side, 0 elsewhere, float32; its left and upper edge belong to it."""
    is_in = (at_x >= FIRST_EDGE) & (at_x < sides + FIRST_EDGE) & (at_y >= FIRST_EDGE) & (at_y < sides + FIRST_EDGE)
    return is_in.to(torch.float32)


def averaged(source: Rectangles, across: Sequence[Averages], down: Sequence[Averages]) -> Tensor:
    """Return weighted sums over columns and rows, shape (B, averages down, averages across).

    Args:
        source: The samples.
        across: Averages of each rectangle's columns.
        down: Averages of its rows.
    """
    device = source.flat.device
    first_x, weights_x = _stacked(across, device)
    first_y, weights_y = _stacked(down, device)
    left = first_x.amin(dim=1)[:, None, None]
    width = int(max(int(first.max()) - int(first.min()) + weights.shape[1] for first, weights in across))
    x = left + torch.arange(width, device=device)
    lines = torch.zeros((len(first_y), first_y.shape[1], width), dtype=torch.float32, device=device)
    for tap in range(weights_y.shape[2]):
        lines += weights_y[:, :, tap, None] * source.at(x, first_y[:, :, None] + tap)
    columns = first_x - left[:, :, 0]
    total = torch.zeros((*first_y.shape, first_x.shape[1]), dtype=torch.float32, device=device)
    for tap in range(weights_x.shape[2]):
        at = (columns + tap).clamp_max(width - 1)[:, None, :].expand(-1, lines.shape[1], -1)
        total += weights_x[:, None, :, tap] * torch.gather(lines, 2, at)
    return total


def block_means(images: Tensor, times: int) -> Tensor:
    """Return the means of blocks of `times` by `times` pixels, shape (B, S / times, S / times)."""
    total = torch.zeros_like(images[:, ::times, ::times])
    for row in range(times):
        for beside in range(times):
            total += images[:, row::times, beside::times]
    return total * (1 / (times * times))


def _stacked(parts: Sequence[Averages], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return first numbers, shape (B, averages), and weights, (B, averages, samples); shorter ones end with zeros."""
    samples = max(weights.shape[1] for _, weights in parts)
    count = max(len(first) for first, _ in parts)
    firsts = np.zeros((len(parts), count), np.int64)
    stacked = np.zeros((len(parts), count, samples), np.float32)
    for place, (first, weights) in enumerate(parts):
        firsts[place, : len(first)] = first
        firsts[place, len(first) :] = first[-1]
        stacked[place, : len(first), : weights.shape[1]] = weights
    return tuple(torch.from_numpy(one).to(device, non_blocking=True) for one in (firsts, stacked))  # type: ignore[return-value]  # two


def cubic_weights(at: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the sample before each place, and the weights of the four around it."""
    whole = torch.floor(at)
    after = (at - whole).to(torch.float32)
    far = after + 1
    before = ((_A * far - 5 * _A) * far + 8 * _A) * far - 4 * _A
    here = ((_A + 2) * after - (_A + 3)) * after * after + 1
    left = 1 - after
    there = ((_A + 2) * left - (_A + 3)) * left * left + 1
    return whole.to(torch.int64), [before, here, there, 1 - before - here - there]


def box_weights(size: int, count: int) -> Averages:
    """Return the weights that make `count` averages of `size` samples, each sample the same over its whole width.

    Source: OpenCV's INTER_AREA.
    """
    step = size / count
    edges = np.arange(count + 1) * step
    first = np.floor(edges[:-1] + 1e-9)
    number = first[:, None] + np.arange(int(np.ceil(step)) + 1)
    low, high = np.maximum(number, edges[:-1, None]), np.minimum(number + 1, edges[1:, None])
    return first.astype(np.int64), np.asarray(np.maximum(high - low, 0) / step, np.float32)
