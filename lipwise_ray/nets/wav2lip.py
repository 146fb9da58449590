"""Wav2Lip's generator, 96 px."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from lipwise_ray.nets.layers import ConvBlock, UpBlock, exact_width, same, scaled, width_of

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 16
"""Channels that every layer keeps: the detail of an image goes through the first and last, which have no more."""


def _channels(width: float, *counts: int) -> list[int]:
    return [scaled(count, width, _LEAST) for count in counts]


def sound_encoder(width: float) -> nn.Sequential:
    """Return the half that listens: (N, 1, 80, 16) mel windows to (N, channels, 1, 1)."""
    c32, c64, c128, c256, c512 = _channels(exact_width(width), 32, 64, 128, 256, 512)
    return nn.Sequential(
        *(ConvBlock(1, c32, 3), same(c32), same(c32)),
        *(ConvBlock(c32, c64, 3, (3, 1)), same(c64), same(c64)),
        *(ConvBlock(c64, c128, 3, 3), same(c128), same(c128)),
        *(ConvBlock(c128, c256, 3, (3, 2)), same(c256)),
        *(ConvBlock(c256, c512, 3, 1, 0), ConvBlock(c512, c512, 1, 1, 0)),
    )


class Wav2Lip(nn.Module):
    """Draws the mouth that goes with a stretch of audio.

    Args:
        width: Factor on every layer's channels, of which 16 stay; 1 is the original.

    Source: Wav2Lip models/wav2lip.py; the same layers under the same names, for frames of one
    clip in a batch only (no extra time axis). The original has one width.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        width = exact_width(width)
        c16, c32, c64, c128, c256, c384, c512 = _channels(width, 16, 32, 64, 128, 256, 384, 512)
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(6, c16, 7, 1, 3)),
                nn.Sequential(ConvBlock(c16, c32, 3, 2), same(c32), same(c32)),
                nn.Sequential(ConvBlock(c32, c64, 3, 2), same(c64), same(c64), same(c64)),
                nn.Sequential(ConvBlock(c64, c128, 3, 2), same(c128), same(c128)),
                nn.Sequential(ConvBlock(c128, c256, 3, 2), same(c256), same(c256)),
                nn.Sequential(ConvBlock(c256, c512, 3, 2), same(c512)),
                nn.Sequential(ConvBlock(c512, c512, 3, 1, 0), ConvBlock(c512, c512, 1, 1, 0)),
            ]
        )
        self.audio_encoder = sound_encoder(width)
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(c512, c512, 1, 1, 0)),
                nn.Sequential(UpBlock(2 * c512, c512, 1, 0, 0), same(c512)),
                nn.Sequential(UpBlock(2 * c512, c512, 2, 1, 1), same(c512), same(c512)),
                nn.Sequential(UpBlock(c512 + c256, c384, 2, 1, 1), same(c384), same(c384)),
                nn.Sequential(UpBlock(c384 + c128, c256, 2, 1, 1), same(c256), same(c256)),
                nn.Sequential(UpBlock(c256 + c64, c128, 2, 1, 1), same(c128), same(c128)),
                nn.Sequential(UpBlock(c128 + c32, c64, 2, 1, 1), same(c64), same(c64)),
            ]
        )
        self.output_block = nn.Sequential(ConvBlock(c64 + c16, c32, 3), nn.Conv2d(c32, 3, 1), nn.Sigmoid())

    @staticmethod
    def width_of(tensors: Mapping[str, Tensor]) -> float:
        """Return the width of a checkpoint; 1 where it is none of this network."""
        return width_of(tensors, "face_encoder_blocks.5.0.conv_block.0.weight")

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Return faces that say the audio.

        Args:
            mel: (N, 1, 80, 16), values in [-4, 4].
            face: (N, 6, 96, 96), BGR in [0, 1]: the crop with its lower half 0, then a whole crop.

        Returns:
            (N, 3, 96, 96), BGR in [0, 1], float32.
        """
        features: list[Tensor] = []
        x = face
        for block in self.face_encoder_blocks:
            x = block(x)
            features.append(x)
        out = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            out = torch.cat((block(out), features.pop()), dim=1)
        *block, sigmoid = self.output_block
        for layer in block:
            out = layer(out)
        return sigmoid(out.float())  # in a narrower format neighbouring levels would fall together
