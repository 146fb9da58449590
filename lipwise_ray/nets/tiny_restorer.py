"""A small network that sharpens a face crop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from lipwise_ray.nets.layers import ConvBlock, same

if TYPE_CHECKING:
    from torch import Tensor

_WIDTH = 32
_BLOCKS = 5


class TinyRestorerNetwork(nn.Module):
    """Adds what a blurred crop lacks, at the crop's own size.

    The work is done at half the size: a crop that was enlarged holds no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2), ConvBlock(12, _WIDTH, 3), *(same(_WIDTH) for _ in range(_BLOCKS))
        )
        self.out = nn.Sequential(nn.Conv2d(_WIDTH, 12, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, crops: Tensor) -> Tensor:
        """Return sharper crops.

        Args:
            crops: (N, 3, H, W), BGR in [0, 1]; H and W even.

        Returns:
            The same shape, not clipped.
        """
        return crops + self.out(self.body(crops))
