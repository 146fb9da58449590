"""Taking voices out of audio of any length: a network on overlapping segments, faded into each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.nets.demucs_network import VOCALS, load_demucs
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from torch import Tensor

_OVERLAP = 0.25
"""Part of a segment that it shares with the next one. Source: demucs' default."""

_SILENT = 1e-8


@dataclass(frozen=True, slots=True)
class ChannelPair:
    """Two channels that are taken apart together, or one twice, and what brings them to the network's level.

    Attributes:
        left, right: Numbers of the channels.
        mean: Mean of the samples of both.
        deviation: Standard deviation of their mean.
    """

    left: int
    right: int
    mean: float
    deviation: float


class Separator:
    """Takes the voices out of audio.

    Args:
        path: Its checkpoint.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._network = load_demucs(path).to(device)
        self._device = device
        self._voices = [*self._network.sources].index(VOCALS)
        self.rate_hz = int(self._network.samplerate)
        self._segment = int(self._network.segment * self.rate_hz)

    def without_voices(
        self, mix: F32Array, pairs: Sequence[ChannelPair], on_segment: Callable[[], None]
    ) -> Iterator[F32Array]:
        """Yield audio without its voices, in blocks of shape (channels, N); channels of no pair stay as they are.

        Args:
            mix: Samples of the network's rate, shape (N, channels); it may be a map of a file.
            pairs: The channels that hold voices.
            on_segment: Called after each segment.

        Source: demucs 4 `apply.apply_model` with ``shifts=0``, which needs all of the audio and of the result in
        memory; its numbers on the same segments.
        """
        length, stride = len(mix), int((1 - _OVERLAP) * self._segment)
        half = self._segment // 2
        weight = np.concatenate([np.arange(1, half + 1), np.arange(self._segment - half, 0, -1)]).astype(np.float32)
        weight /= weight.max()
        sums = np.zeros((len(pairs), 2, self._segment), np.float32)
        weights = np.zeros(self._segment, np.float32)
        for offset in range(0, length, stride):
            count = min(self._segment, length - offset)
            for number, pair in enumerate(pairs):
                sums[number, :, :count] += weight[:count] * self._voice(mix, pair, offset, count)
            weights[:count] += weight[:count]
            on_segment()
            ready = min(stride, length - offset)
            block = np.array(mix[offset : offset + ready].T, np.float32, order="C")  # the map may be for reading only
            for number, pair in enumerate(pairs):
                voice = sums[number, :, :ready] / weights[:ready]
                if pair.left == pair.right:
                    block[pair.left] -= voice.mean(axis=0)
                else:
                    block[[pair.left, pair.right]] -= voice
            yield block
            for kept in (*sums.reshape(-1, self._segment), weights):
                kept[:-stride] = kept[stride:].copy()
                kept[-stride:] = 0

    def _voice(self, mix: F32Array, pair: ChannelPair, offset: int, count: int) -> F32Array:
        """Return the voices of a segment, shape (2, count); what surrounds a shorter one fills it up."""
        import torch

        if pair.deviation < _SILENT:
            return np.zeros((2, count), np.float32)
        start = offset - (self._segment - count) // 2
        first, last = max(0, start), min(len(mix), start + self._segment)
        part = (np.asarray(mix[first:last], np.float32)[:, [pair.left, pair.right]].T - pair.mean) / pair.deviation
        filled = np.pad(part, ((0, 0), (first - start, start + self._segment - last)))
        with torch.no_grad():
            found: Tensor = self._network(torch.from_numpy(filled[None].astype(np.float32)).to(self._device))
        voice = found[0, self._voices].float().cpu().numpy()
        return np.asarray(voice[:, offset - start : offset - start + count] * pair.deviation, np.float32)
