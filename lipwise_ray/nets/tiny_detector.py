"""A small one-stage face detector: score, box and five landmarks at each cell of a stride-8 grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lipwise_ray.nets.layers import ConvBlock, same

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 8
"""Input pixels a cell."""

CHANNELS = 15
"""Score logit; left, top, right, bottom distances; x and y of five landmarks. In cells from the cell's middle."""


class TinyDetectorNetwork(nn.Module):
    """Finds faces by their middles.

    The idea of scoring middles on a grid is that of CenterNet (Zhou et al., 2019).
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            *(ConvBlock(3, 12, 3, 2), ConvBlock(12, 24, 3, 2), same(24)),
            *(ConvBlock(24, 48, 3, 2), same(48), same(48)),
        )
        self.coarse = nn.Sequential(ConvBlock(48, 64, 3, 2), same(64), same(64), ConvBlock(64, 64, 3, 2), same(64))
        self.up = nn.Sequential(ConvBlock(64, 48, 1, 1, 0), nn.Upsample(scale_factor=4, mode="nearest"))
        self.head = nn.Sequential(same(48), same(48), nn.Conv2d(48, CHANNELS, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the grid.

        Args:
            images: (N, 3, H, W), BGR in [0, 1]; H and W multiples of 32.

        Returns:
            (N, 15, H / 8, W / 8); the first channel is a logit.
        """
        fine = self.fine(images)
        return self.head(fine + self.up(self.coarse(fine)))


def cell_middles(rows: int, columns: int) -> Tensor:
    """Return the middles of the cells in cells, (2, rows, columns), x first."""
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    return torch.stack((x, y))
