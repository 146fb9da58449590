"""The building blocks that Wav2Lip's networks share. Attribute names match its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

if TYPE_CHECKING:
    from torch import Tensor

Pair = int | tuple[int, int]

_WIDEST = 512
"""Channels of the widest layers at width 1."""


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, ReLU; `residual` adds the input before the ReLU."""

    def __init__(
        self, c_in: int, c_out: int, kernel: Pair, stride: Pair = 1, padding: Pair = 1, *, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, padding), nn.BatchNorm2d(c_out))
        self.act = nn.ReLU()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H', W')."""
        out = self.conv_block(x)
        return self.act(out + x if self.residual else out)


class UpBlock(nn.Module):
    """Transposed convolution, batch normalisation, ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, padding: int, output_padding: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(c_in, c_out, 3, stride, padding, output_padding), nn.BatchNorm2d(c_out)
        )
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H', W')."""
        return self.act(self.conv_block(x))


def fold_batch_norms(network: nn.Module) -> None:
    """Put every batch normalisation into the convolution or linear layer before it, in place; for inference only."""
    for part in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place in range(len(part) - 1, 0, -1):
            before, norm = part[place - 1], part[place]
            if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                continue
            if isinstance(before, nn.Linear):
                part[place - 1] = fuse_linear_bn_eval(before, cast("nn.BatchNorm1d", norm))
            elif isinstance(before, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
                is_transposed = isinstance(before, nn.ConvTranspose2d)
                part[place - 1] = fuse_conv_bn_eval(before, norm, transpose=is_transposed)
            else:
                continue
            del part[place]


def same(channels: int) -> ConvBlock:
    """Return a residual 3x3 block."""
    return ConvBlock(channels, channels, 3, residual=True)


def exact_width(width: float) -> float:
    """Round a width to the nearest that a checkpoint can have: whole channels in its widest layers, 512 at width 1."""
    return max(1, round(_WIDEST * width)) / _WIDEST


def scaled(channels: int, width: float, least: int = 1) -> int:
    """Return the channels of a layer when its network is scaled by `width`, at least `least`."""
    return max(least, round(channels * width))


def width_of(tensors: Mapping[str, Tensor], name: str) -> float:
    """Return the width of a network, read off its layer `name`, one of the widest; 1 where that layer is missing."""
    return tensors[name].shape[0] / _WIDEST if name in tensors else 1.0
