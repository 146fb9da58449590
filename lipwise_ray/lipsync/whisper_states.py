"""States of Whisper's encoder over audio of any length, in bounded memory and without a seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lipwise_ray.errors import AudioError, WeightsError
from lipwise_ray.lipsync.audio_features import (
    LATENTSYNC_STATES,
    STATE_CHANNELS,
    STATES_A_STEP,
    WHISPER_STATES,
    AudioFeature,
)
from lipwise_ray.lipsync.whisper_spectra import PieceSpectra, Spectra, WholeSpectra
from lipwise_ray.values import F32Array

STATES_DTYPE = "<f2"
"""Sample format of states in a file: little-endian float16, 192 KB a second of audio, which is what MuseTalk's own half
precision hears. float32 would be 1.4 GB an hour."""

_MARGIN_SHARE = 6
"""The sixth part of a piece at each end that has a neighbour, 5 s of 30, is only heard, and not kept."""


class WhisperStates:
    """Whisper's encoder, by float32 on a CPU: its states are the same whatever device then draws faces.

    Args:
        checkpoint: A file of Whisper, of transformers' names or its own.
        feature: Feature that its states are for.

    Raises:
        WeightsError: The file does not hold the tensors of Whisper's tiny encoder.
    """

    def __init__(self, checkpoint: Path, feature: AudioFeature = WHISPER_STATES) -> None:
        from lipwise_ray.nets.whisper_encoder import load_whisper_encoder

        self._network = load_whisper_encoder(checkpoint, STATE_CHANNELS, STATES_A_STEP - 1)
        self._where = str(checkpoint)
        self._steps = self._network.embed_positions.num_embeddings
        self._is_whole = feature == LATENTSYNC_STATES

    def write(self, wave_f32: F32Array, target: Path, *, gain: float = 1.0, on_block: Callable[[], None]) -> None:
        """Compute the states of audio and write them as .npy, of shape (steps + 1, 5, 384).

        The last of them are those of silence. The fifth state of a step is normalised for MuseTalk, as the decoder has
        it, and not for LatentSync.

        Args:
            wave_f32: Mono samples at 16 kHz, shape (N,); it may be a map of a file.
            target: The file.
            gain: Factor by which the samples are made louder first.
            on_block: Called after each piece.

        Raises:
            AudioError: The wave is empty or holds NaN.
            WeightsError: States are not finite.
        """
        if not len(wave_f32):
            raise AudioError("no_samples", "audio", got="holds no samples")
        heard = WholeSpectra(wave_f32, gain) if self._is_whole else PieceSpectra(wave_f32, gain)
        shape = (heard.steps + 1, STATES_A_STEP, STATE_CHANNELS)
        with target.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": STATES_DTYPE, "fortran_order": False, "shape": shape})
            for block in self._blocks(heard):
                with np.errstate(over="ignore"):
                    stored = np.ascontiguousarray(block, STATES_DTYPE)
                if not np.isfinite(stored).all():
                    raise WeightsError("states_not_finite", self._where, got="gives states beyond numbers of 16 bits")
                file.write(stored.tobytes())
                on_block()

    def _blocks(self, heard: Spectra) -> Iterator[F32Array]:
        """Yield states that follow each other, and then those of a silent step."""
        for start, low, high in pieces(heard.steps, self._steps):
            yield self._encoded(heard.piece(start, self._steps))[low - start : high - start]
        middle = self._steps // 2
        yield self._encoded(heard.silence(self._steps))[middle : middle + 1]

    def _encoded(self, mel: F32Array) -> F32Array:
        """Return the states of a piece, shape (steps of a piece, 5, 384)."""
        import torch

        with torch.inference_mode():
            (states,) = self._network(torch.from_numpy(mel)[None])
            if not self._is_whole:
                states[:, -1] = self._network.layer_norm(states[:, -1])
            return states.numpy()


def pieces(steps: int, piece_steps: int) -> Iterator[tuple[int, int, int]]:
    """Yield pieces that an encoder hears: where each begins, and ``[low, high)``, which is kept of it.

    Args:
        steps: Steps of the audio.
        piece_steps: Steps that the encoder hears at once.
    """
    margin = piece_steps // _MARGIN_SHARE
    start = low = 0
    while True:
        is_last = start + piece_steps >= steps
        if is_last:  # full too, where there is enough: what is heard around is as much as elsewhere
            start = max(0, steps - piece_steps)
        high = steps if is_last else start + piece_steps - margin
        yield start, low, high
        if is_last:
            return
        start, low = high - margin, high
