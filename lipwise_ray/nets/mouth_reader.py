"""Reads a mouth's shape from audio alone: Wav2Lip's half that listens, and a line to six numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from torch import nn

from lipwise_ray.nets.layers import width_of
from lipwise_ray.nets.wav2lip import sound_encoder

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS = 6
"""Opening, width, rounding, teeth, tongue, bite, as `synth` draws mouths."""


class MouthReader(nn.Module):
    """Predicts the shape of a mouth from the audio it says.

    Args:
        width: Factor on every layer's channels, as of the `Wav2Lip` whose `audio_encoder` it is.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.audio_encoder = sound_encoder(width)
        last = cast("nn.BatchNorm2d", cast("nn.Sequential", self.audio_encoder[-1].conv_block)[1])
        self.mouth = nn.Linear(last.num_features, NUMBERS)

    @staticmethod
    def width_of(tensors: Mapping[str, Tensor]) -> float:
        """Return the width of a checkpoint; 1 where it is none of this network."""
        return width_of(tensors, "audio_encoder.12.conv_block.0.weight")

    def forward(self, mel: Tensor) -> Tensor:
        """Return mouths.

        Args:
            mel: (N, 1, 80, 16), values in [-4, 4].

        Returns:
            (N, 6).
        """
        return self.mouth(self.audio_encoder(mel).flatten(1))
