"""MobileFaceNet: a small network that tells people apart. Attribute names match its checkpoints.

Source: Chen et al., "MobileFaceNets" (2018), table 1; the input is 112 high and 96 wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

HEIGHT, WIDTH = 112, 96
VALUES = 128
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks and stride of the first."""


class _Convolution(nn.Module):
    """Convolution without bias, batch normalisation, and PReLU unless it is linear."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        *,
        groups: int = 1,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.prelu = nn.Identity() if is_linear else nn.PReLU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H', W')."""
        return self.prelu(self.bn(self.conv(x)))


class _Bottleneck(nn.Module):
    """Widens, filters each channel, and narrows again; adds its input where shapes agree."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.is_residual = stride == 1 and c_in == c_out
        self.conv = nn.Sequential(
            *(nn.Conv2d(c_in, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide)),
            *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide)),
            *(nn.Conv2d(wide, c_out, 1, bias=False), nn.BatchNorm2d(c_out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H', W')."""
        out = self.conv(x)
        return x + out if self.is_residual else out


class MobileFaceNet(nn.Module):
    """Embeds aligned faces."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _Convolution(3, 64, (3, 3), 2, 1)
        self.dw_conv1 = _Convolution(64, 64, (3, 3), 1, 1, groups=64)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, wanted, count, stride in _STAGES:
            for number in range(count):
                blocks.append(_Bottleneck(channels, wanted, stride if number == 0 else 1, expansion))
                channels = wanted
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = _Convolution(channels, 512, (1, 1))
        self.linear7 = _Convolution(512, 512, (7, 6), groups=512, is_linear=True)
        self.linear1 = _Convolution(512, VALUES, (1, 1), is_linear=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings; their lengths mean nothing.

        Args:
            images: (N, 3, 112, 96), RGB in [-1, 1).

        Returns:
            (N, 128).
        """
        x = self.blocks(self.dw_conv1(self.conv1(images)))
        return self.linear1(self.linear7(self.conv2(x))).flatten(1)
