"""The visual-quality discriminator: tells drawn faces from real ones by their lower halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from lipwise_ray.nets.layers import scaled, width_of

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.nets.layers import Pair

_SLOPE = 0.01


class _Conv(nn.Module):
    """Convolution and leaky ReLU, without normalisation."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: Pair, padding: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, padding))
        self.act = nn.LeakyReLU(_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv_block(x))


class VisualQualityDisc(nn.Module):
    """Returns the probability that each frame is real.

    Args:
        width: Factor on every layer's channels; 1 is the original.

    Source: Wav2Lip models/wav2lip.py (Wav2Lip_disc_qual); the same layers under the same names.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (scaled(count, width) for count in (32, 64, 128, 256, 512))
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(_Conv(3, c32, 7, 1, 3)),
                nn.Sequential(_Conv(c32, c64, 5, (1, 2), 2), _Conv(c64, c64, 5, 1, 2)),
                nn.Sequential(_Conv(c64, c128, 5, 2, 2), _Conv(c128, c128, 5, 1, 2)),
                nn.Sequential(_Conv(c128, c256, 5, 2, 2), _Conv(c256, c256, 5, 1, 2)),
                nn.Sequential(_Conv(c256, c512, 3, 2, 1), _Conv(c512, c512, 3, 1, 1)),
                nn.Sequential(_Conv(c512, c512, 3, 2, 1), _Conv(c512, c512, 3, 1, 1)),
                nn.Sequential(_Conv(c512, c512, 3, 1, 0), _Conv(c512, c512, 1, 1, 0)),
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(c512, 1, 1), nn.Sigmoid())

    @staticmethod
    def width_of(tensors: Mapping[str, Tensor]) -> float:
        """Return the width of a checkpoint; 1 where it is none of this network."""
        return width_of(tensors, "face_encoder_blocks.6.1.conv_block.0.weight")

    def forward(self, clip: Tensor) -> Tensor:
        """Return probabilities, (T * N, 1), all clips' first frames first.

        Args:
            clip: (N, 3, T, 96, 96), BGR in [0, 1].
        """
        frames = torch.cat(list(clip.unbind(2)), dim=0)
        x = frames[:, :, frames.shape[2] // 2 :]
        for block in self.face_encoder_blocks:
            x = block(x)
        return self.binary_pred(x).flatten(1)
