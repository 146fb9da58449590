"""The log-mel spectrogram that Whisper was trained on."""

from __future__ import annotations

from typing import cast

import numpy as np

from lipwise_ray.lipsync.mel import MEL_BANDS, SAMPLE_RATE_HZ, mel_bands
from lipwise_ray.values import F32Array

# Source: openai/whisper audio.py.
WHISPER_HOP_SAMPLES = 160
_FFT_SAMPLES = 400
_LOWEST, _RANGE, _SHIFT, _SCALE = 1e-10, 8.0, 4.0, 4.0
_COLUMNS_A_TRANSFORM = 500


def whisper_mel(wave_f32: F32Array) -> F32Array:
    """Return the log-mel spectrogram of a piece of audio; its loudest moment decides what counts as silence.

    Args:
        wave_f32: Mono samples in [-1, 1] at 16 kHz, shape (N,), more than 200: an end that lacks samples is filled
            with zeros by the caller, up to the length of a piece.

    Returns:
        Shape (80, N // 160), float32.

    Source: openai/whisper audio.py, log_mel_spectrogram.
    """
    half = _FFT_SAMPLES // 2
    padded = np.pad(wave_f32, half, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::WHISPER_HOP_SAMPLES]
    count = len(wave_f32) // WHISPER_HOP_SAMPLES  # the last column is left out
    window = np.hanning(_FFT_SAMPLES + 1)[:-1]
    basis = mel_bands(_FFT_SAMPLES, 0.0, SAMPLE_RATE_HZ / 2)
    levels = np.empty((MEL_BANDS, count), np.float32)
    for start in range(0, count, _COLUMNS_A_TRANSFORM):
        part = slice(start, min(start + _COLUMNS_A_TRANSFORM, count))
        power = np.abs(np.fft.rfft(frames[part] * window, axis=1)) ** 2
        levels[:, part] = np.log10(np.maximum(_LOWEST, basis @ power.T))
    return cast("F32Array", (np.maximum(levels, levels.max() - _RANGE) + np.float32(_SHIFT)) / np.float32(_SCALE))
