"""Wav2Lip's generator, 96 px."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lipwise_ray.nets.layers import ConvBlock, UpBlock, same

if TYPE_CHECKING:
    from torch import Tensor

SIZE_PX = 96


class Wav2Lip(nn.Module):
    """Draws the mouth that goes with a stretch of sound.

    Source: Wav2Lip models/wav2lip.py; the same layers under the same names, for frames of one
    clip in a batch only (no extra time axis).
    """

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(6, 16, 7, 1, 3)),
                nn.Sequential(ConvBlock(16, 32, 3, 2), same(32), same(32)),
                nn.Sequential(ConvBlock(32, 64, 3, 2), same(64), same(64), same(64)),
                nn.Sequential(ConvBlock(64, 128, 3, 2), same(128), same(128)),
                nn.Sequential(ConvBlock(128, 256, 3, 2), same(256), same(256)),
                nn.Sequential(ConvBlock(256, 512, 3, 2), same(512)),
                nn.Sequential(ConvBlock(512, 512, 3, 1, 0), ConvBlock(512, 512, 1, 1, 0)),
            ]
        )
        self.audio_encoder = nn.Sequential(
            *(ConvBlock(1, 32, 3), same(32), same(32)),
            *(ConvBlock(32, 64, 3, (3, 1)), same(64), same(64)),
            *(ConvBlock(64, 128, 3, 3), same(128), same(128)),
            *(ConvBlock(128, 256, 3, (3, 2)), same(256)),
            *(ConvBlock(256, 512, 3, 1, 0), ConvBlock(512, 512, 1, 1, 0)),
        )
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(512, 512, 1, 1, 0)),
                nn.Sequential(UpBlock(1024, 512, 1, 0, 0), same(512)),
                nn.Sequential(UpBlock(1024, 512, 2, 1, 1), same(512), same(512)),
                nn.Sequential(UpBlock(768, 384, 2, 1, 1), same(384), same(384)),
                nn.Sequential(UpBlock(512, 256, 2, 1, 1), same(256), same(256)),
                nn.Sequential(UpBlock(320, 128, 2, 1, 1), same(128), same(128)),
                nn.Sequential(UpBlock(160, 64, 2, 1, 1), same(64), same(64)),
            ]
        )
        self.output_block = nn.Sequential(ConvBlock(80, 32, 3), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Return faces that say the sound.

        Args:
            mel: (N, 1, 80, 16), values in [-4, 4].
            face: (N, 6, 96, 96), BGR in [0, 1]: the crop with its lower half 0, then a whole crop.

        Returns:
            (N, 3, 96, 96), BGR in [0, 1].
        """
        features: list[Tensor] = []
        x = face
        for block in self.face_encoder_blocks:
            x = block(x)
            features.append(x)
        out = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            out = torch.cat((block(out), features.pop()), dim=1)
        return self.output_block(out)
