"""Spectrograms of long audio, piece by piece, as two lip-sync networks heard them in training."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lipwise_ray.errors import AudioError
from lipwise_ray.lipsync.audio_features import WHISPER_STATES
from lipwise_ray.lipsync.mel import MEL_BANDS, SAMPLE_RATE_HZ
from lipwise_ray.lipsync.whisper_mel import QUIETEST, WHISPER_HOP_SAMPLES, mel_levels, scaled_levels, whisper_mel
from lipwise_ray.values import F32Array

STEP_SAMPLES = SAMPLE_RATE_HZ // WHISPER_STATES.rate_hz
_COLUMNS_A_STEP = STEP_SAMPLES // WHISPER_HOP_SAMPLES
_COLUMNS_A_BLOCK = 3000


class Spectra(Protocol):
    """Spectrograms of pieces of one audio stream.

    Attributes:
        steps: Steps of the encoder that the audio has.
    """

    steps: int

    def piece(self, start: int, steps: int) -> F32Array:
        """Return the spectrogram of a piece, shape (80, 2 * steps); it may go on past the audio's end.

        Args:
            start: Its first step.
            steps: How many.
        """
        ...

    def silence(self, steps: int) -> F32Array:
        """Return that of silence, shape (80, 2 * steps)."""
        ...


class PieceSpectra:
    """Spectrograms each by itself: silence is what is far below its own loudest moment, and what follows the audio.

    Args:
        wave_f32: Mono samples at 16 kHz, shape (N,); it may be a map of a file.
        gain: Factor by which they are made louder first.

    Source: MuseTalk utils/audio_processor.py.
    """

    def __init__(self, wave_f32: F32Array, gain: float) -> None:
        self._wave = wave_f32
        self._gain = np.float32(gain)
        self.steps = -(-len(wave_f32) // STEP_SAMPLES)

    def piece(self, start: int, steps: int) -> F32Array:
        """Return the spectrogram of a piece."""
        return whisper_mel(_finite(self._samples(start, steps)))

    def silence(self, steps: int) -> F32Array:
        """Return that of silence."""
        return whisper_mel(np.zeros(steps * STEP_SAMPLES, np.float32))

    def _samples(self, start: int, steps: int) -> F32Array:
        piece = np.zeros(steps * STEP_SAMPLES, np.float32)
        part = np.asarray(self._wave[start * STEP_SAMPLES : start * STEP_SAMPLES + len(piece)], np.float32)
        piece[: len(part)] = part * self._gain
        return piece


class WholeSpectra:
    """Parts of one spectrogram: its loudest moment counts everywhere, and what follows the audio is of value 0.

    Args:
        wave_f32: Mono samples at 16 kHz, shape (N,); it may be a map of a file.
        gain: Factor by which they are made louder first.

    Raises:
        AudioError: It holds NaN.

    Source: LatentSync latentsync/whisper/whisper/audio.py and transcribe.py.
    """

    def __init__(self, wave_f32: F32Array, gain: float) -> None:
        enough = len(wave_f32) >= STEP_SAMPLES
        self._wave = wave_f32 if enough else np.pad(wave_f32, (0, STEP_SAMPLES - len(wave_f32)))
        self._gain = gain
        self._columns = len(self._wave) // WHISPER_HOP_SAMPLES
        self.steps = self._columns // _COLUMNS_A_STEP
        self._loudest = max(
            float(self._levels(first, min(_COLUMNS_A_BLOCK, self._columns - first)).max())
            for first in range(0, self._columns, _COLUMNS_A_BLOCK)
        )

    def piece(self, start: int, steps: int) -> F32Array:
        """Return the spectrogram of a piece."""
        found = np.zeros((MEL_BANDS, _COLUMNS_A_STEP * steps), np.float32)
        first = _COLUMNS_A_STEP * start
        count = min(found.shape[1], self._columns - first)
        found[:, :count] = scaled_levels(self._levels(first, count), self._loudest)
        return found

    def silence(self, steps: int) -> F32Array:
        """Return that of silence in this audio, whose loudest moment decides what it looks like."""
        return scaled_levels(np.full((MEL_BANDS, _COLUMNS_A_STEP * steps), QUIETEST, np.float32), self._loudest)

    def _levels(self, first: int, count: int) -> F32Array:
        return _finite(mel_levels(self._wave, first, count, self._gain))


def _finite(numbers: F32Array) -> F32Array:
    if not np.isfinite(numbers).all():
        raise AudioError("not_finite", "audio", got="holds NaN or infinity", do="Export the audio again")
    return numbers
