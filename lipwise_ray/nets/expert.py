"""The lip-sync expert: tells how well a mouth and a stretch of audio go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from lipwise_ray.nets.layers import ConvBlock, exact_width, same, scaled, width_of

if TYPE_CHECKING:
    from torch import Tensor

FRAMES = 5
"""Frames a sample: 200 ms at 25 frames a second, the length of a mel window."""


class LipSyncExpert(nn.Module):
    """Embeds audio and lips; the cosine of the two is near 1 where they belong together.

    Args:
        width: Factor on every layer's channels; 1 is the original.

    Source: Wav2Lip models/syncnet.py (SyncNet_color). The original has one width.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        width = exact_width(width)
        c32, c64, c128, c256, c512 = (scaled(count, width) for count in (32, 64, 128, 256, 512))
        self.face_encoder = nn.Sequential(
            ConvBlock(3 * FRAMES, c32, 7, 1, 3),
            *(ConvBlock(c32, c64, 5, (1, 2), 1), same(c64), same(c64)),
            *(ConvBlock(c64, c128, 3, 2), same(c128), same(c128), same(c128)),
            *(ConvBlock(c128, c256, 3, 2), same(c256), same(c256)),
            *(ConvBlock(c256, c512, 3, 2), same(c512), same(c512)),
            *(ConvBlock(c512, c512, 3, 2), ConvBlock(c512, c512, 3, 1, 0), ConvBlock(c512, c512, 1, 1, 0)),
        )
        self.audio_encoder = nn.Sequential(
            *(ConvBlock(1, c32, 3), same(c32), same(c32)),
            *(ConvBlock(c32, c64, 3, (3, 1)), same(c64), same(c64)),
            *(ConvBlock(c64, c128, 3, 3), same(c128), same(c128)),
            *(ConvBlock(c128, c256, 3, (3, 2)), same(c256), same(c256)),
            *(ConvBlock(c256, c512, 3, 1, 0), ConvBlock(c512, c512, 1, 1, 0)),
        )

    @staticmethod
    def width_of(tensors: Mapping[str, Tensor]) -> float:
        """Return the width of a checkpoint; 1 where it is none of this network."""
        return width_of(tensors, "audio_encoder.12.conv_block.0.weight")

    def forward(self, mel: Tensor, lips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of audio and lips, each (N, D) of length 1.

        Args:
            mel: (N, 1, 80, 16), values in [-4, 4].
            lips: (N, 15, 48, 96): the lower halves of 5 consecutive BGR frames in [0, 1], one after
                the other on the channels.
        """
        return self.embed_sound(mel), self.embed_face(lips)

    def embed_sound(self, mel: Tensor) -> Tensor:
        """Return the audio's half of `forward`."""
        return functional.normalize(self.audio_encoder(mel).flatten(1), dim=1)

    def embed_face(self, lips: Tensor) -> Tensor:
        """Return the lips' half of `forward`."""
        return functional.normalize(self.face_encoder(lips).flatten(1), dim=1)
