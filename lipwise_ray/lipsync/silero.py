"""Silero's voice activity detector through ONNX Runtime, over waves of any length in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync.leveller import Leveller
from lipwise_ray.lipsync.mel import SAMPLE_RATE_HZ
from lipwise_ray.lipsync.voice_activity import SURE, WINDOW_SAMPLES, speech_windows
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.nets.onnx_session import open_session
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    import onnxruntime

# Source: silero-vad 6.2's sequence_vad.py.
CONTEXT_SAMPLES = 64
"""Samples before a window that the network takes with it. Without them it finds nothing, and no error tells."""

_STATE_SHAPE = (1, 1, 128)
_INPUTS, _OUTPUTS = ["input", "h", "c"], ["speech_probs", "hn", "cn"]
_BLOCK_WINDOWS = 512  # 16 s

_LONG_PAUSE_WINDOWS, _AFRESH_WINDOWS = 16, 62
"""Half a second, and two. After a minute of a room's noise the network misses the first syllables of the speech
that follows: what is around its start is heard once more, by a network that heard no more than two seconds before."""


class SileroVad:
    """The `silero_vad` network: an LSTM over windows of 32 ms, whose state goes on from block to block.

    It hears the wave levelled: at 40 dB below full scale it finds a third of the speech, at 50 dB nothing.

    Args:
        weights: The ONNX file of the sequence network.

    Raises:
        WeightsError: The file is no such network.
        SetupError: ONNX Runtime is not installed.
    """

    def __init__(self, weights: Path) -> None:
        refuse_non_weights(weights)
        self._session = _open(weights)

    def __call__(self, wave_f32: F32Array, on_block: Callable[[], None] = lambda: None) -> F32Array:
        """Return the probability of speech in each window of 512 samples.

        Args:
            wave_f32: Mono samples in [-1, 1] at 16 kHz, shape (N,); it may be a map of a file.
            on_block: Called at least every 16 s.

        Returns:
            Shape (ceil(N / 512),), in [0, 1]; the last window is padded with silence. It is 0 where speech would be
            far quieter than the rest.
        """
        leveller = Leveller(wave_f32, WINDOW_SAMPLES, SAMPLE_RATE_HZ)
        found = self._heard(leveller, 0, leveller.windows, on_block)
        speech, paused_from = speech_windows(found), 0
        for start, stop in speech.tolist():
            first, last = max(paused_from, start - _AFRESH_WINDOWS), min(start + _AFRESH_WINDOWS, leveller.windows)
            if first > 0 and start - paused_from >= _LONG_PAUSE_WINDOWS:
                np.maximum(found[first:last], self._heard(leveller, first, last, on_block), out=found[first:last])
            paused_from = stop
        found[leveller.is_faint(found >= SURE)] = 0
        return found

    def _heard(self, leveller: Leveller, start: int, stop: int, on_block: Callable[[], None]) -> F32Array:
        """Return the probabilities in windows ``[start, stop)`` to a network that has heard nothing before."""
        found = np.zeros(stop - start, np.float32)
        hidden = cell = np.zeros(_STATE_SHAPE, np.float32)
        for first in range(start, stop, _BLOCK_WINDOWS):
            last = min(first + _BLOCK_WINDOWS, stop)
            samples = leveller.levelled(first * WINDOW_SAMPLES - CONTEXT_SAMPLES, last * WINDOW_SAMPLES)
            inputs = dict(zip(_INPUTS, (with_context(samples), hidden, cell), strict=True))
            probability, hidden, cell = (np.asarray(one) for one in self._session.run(_OUTPUTS, inputs))
            found[first - start : last - start] = probability
            on_block()
        return found


def with_context(samples_f32: F32Array) -> F32Array:
    """Return windows with the samples before each.

    Args:
        samples_f32: The context of the first window and whole windows, shape (64 + 512 W,).

    Returns:
        Shape (W, 576).
    """
    every = np.lib.stride_tricks.sliding_window_view(samples_f32, CONTEXT_SAMPLES + WINDOW_SAMPLES)
    return np.ascontiguousarray(every[::WINDOW_SAMPLES])


def _open(weights: Path) -> onnxruntime.InferenceSession:
    session = open_session(weights, threads=1)
    names = [[one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs())]
    if names != [_INPUTS, _OUTPUTS]:
        raise _not_silero(weights, f"a network with the inputs {', '.join(names[0])}")
    return session


def _not_silero(weights: Path, got: str) -> WeightsError:
    return WeightsError(
        "not_silero",
        str(weights),
        got=got,
        must="silero-vad's network for whole sequences is needed, of the inputs input, h, c",
        do="Use silero_vad_16k_sequence.onnx of the package silero-vad",
    )
