"""Sinusoidal places of a sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_LONGEST_WAVE = 10_000.0


def sinusoids(places: int, channels: int) -> Tensor:
    """Return a vector for every place of a sequence, shape (places, channels): sines at even channels, cosines at odd.

    Args:
        places: Length of the sequence.
        channels: Channels of a vector, an even number.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.5.
    """
    along = torch.arange(places, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(_LONGEST_WAVE) / channels))
    vectors = torch.zeros(places, channels)
    vectors[:, 0::2], vectors[:, 1::2] = torch.sin(along * rates), torch.cos(along * rates)
    return vectors
