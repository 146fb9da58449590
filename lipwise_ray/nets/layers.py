"""The building blocks that Wav2Lip's networks share. Attribute names match its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

Pair = int | tuple[int, int]


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


def same(channels: int) -> ConvBlock:
    """Return a residual 3x3 block."""
    return ConvBlock(channels, channels, 3, residual=True)
