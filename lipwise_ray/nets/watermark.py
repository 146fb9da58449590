"""Marks in audio of any length: AudioSeal on overlapping windows, faded into each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.nets.audioseal import RATE_HZ, AudioSealDetector, AudioSealGenerator, load_audioseal
from lipwise_ray.nets.mark_reading import MARK_BITS, MarkReading
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW = 10 * RATE_HZ
_OVERLAP = RATE_HZ
_STRIDE = _WINDOW - _OVERLAP
_IS_MARKED = 0.5


class AudioSealMarker:
    """Makes the marks of audio at 16 kHz.

    Args:
        path: Checkpoint of the generator.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._network, self._device = load_audioseal(AudioSealGenerator, path).to(device), device

    def marks(self, wave: Iterable[F32Array], message: int, on_window: Callable[[], None]) -> Iterator[F32Array]:
        """Yield the mark of a wave, as long as the wave: what is to be added to it. Silence gets none.

        Args:
            wave: Mono samples in [-1, 1] at 16 kHz, in blocks of shape (N,).
            message: From 0 to 65535; its highest bit is the first of the network's.
            on_window: Called after each window.

        Source: `AudioSealWM.get_watermark`, which takes all of the audio at once; up to ten seconds its numbers.
        """
        rise = (np.arange(_OVERLAP, dtype=np.float32) + 0.5) / _OVERLAP
        held: F32Array | None = None
        for window, is_last in _windows(wave):
            mark = self._mark(window, message)
            if held is not None:
                mark[:_OVERLAP] = held * (1 - rise) + mark[:_OVERLAP] * rise
            on_window()
            yield mark if is_last else mark[:_STRIDE]
            held = mark[_STRIDE:]

    def _mark(self, window: F32Array, message: int) -> F32Array:
        import torch

        if not window.any():
            return np.zeros_like(window)
        bits = torch.tensor([[message >> place & 1 for place in reversed(range(MARK_BITS))]], device=self._device)
        with torch.inference_mode():
            mark: Tensor = self._network(_tensor(window, self._device), bits)
        return np.array(mark[0, 0].cpu().numpy(), np.float32)


class AudioSealReader:
    """Finds marks in audio at 16 kHz.

    Args:
        path: Checkpoint of the detector.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._network, self._device = load_audioseal(AudioSealDetector, path).to(device), device

    def detect(self, wave: Iterable[F32Array], on_window: Callable[[], None] = lambda: None) -> MarkReading:
        """Return the reading of a wave's mark.

        Args:
            wave: Mono samples in [-1, 1] at 16 kHz, in blocks of shape (N,).
            on_window: Called after each window.

        Source: `AudioSealDetector.detect_watermark`, which takes all of the audio at once; up to ten seconds its
        numbers.
        """
        import torch

        marked, samples, start = 0, 0, 0
        logits: F64Array = np.zeros(MARK_BITS)
        for window, is_last in _windows(wave):
            stop = len(window) if is_last else len(window) - _OVERLAP // 2
            with torch.inference_mode():
                probabilities, bits = self._network(_tensor(window, self._device))
            marked += int((probabilities[0, start:stop] > _IS_MARKED).sum())
            logits += bits[0, :, start:stop].double().sum(1).cpu().numpy()
            samples += stop - start
            start = _OVERLAP // 2
            on_window()
        share = marked / max(1, samples)
        message = sum(1 << place for place, value in enumerate(reversed(logits.tolist())) if value > 0)
        return MarkReading(share, message if share >= _IS_MARKED else None)


def _tensor(window: F32Array, device: str) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(window, np.float32))[None, None].to(device)


def _windows(wave: Iterable[F32Array]) -> Iterator[tuple[F32Array, bool]]:
    """Yield ten seconds of a wave at a time, each with the last second of those before, and whether it ends."""
    held = np.zeros(0, np.float32)
    for block in wave:
        held = np.concatenate([held, block])
        while len(held) > _WINDOW:
            yield held[:_WINDOW], False
            held = held[_STRIDE:]
    if len(held):
        yield held, True
