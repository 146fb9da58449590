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
QUIETEST = float(np.log10(_LOWEST))
"""Level of a band without any power."""

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
    levels = mel_levels(wave_f32, 0, len(wave_f32) // WHISPER_HOP_SAMPLES)  # the last column is left out
    return scaled_levels(levels, float(levels.max()))


def mel_levels(wave_f32: F32Array, first: int, count: int, gain: float = 1.0) -> F32Array:
    """Return levels of some columns of audio's spectrogram, as logarithms of their power.

    Args:
        wave_f32: Mono samples in [-1, 1] at 16 kHz, shape (N,), at least 2; those beyond its ends are mirrored. Of a
            map of a file only the columns' samples are read.
        first: The first column.
        count: How many, so that the last one's middle is in the audio.
        gain: Factor by which samples are made louder first.

    Returns:
        Shape (80, count), float32.
    """
    half, start = _FFT_SAMPLES // 2, first * WHISPER_HOP_SAMPLES
    low, high = start - half, start + (count - 1) * WHISPER_HOP_SAMPLES + half
    part = np.asarray(wave_f32[max(0, low) : max(0, high)], np.float32) * np.float32(gain)
    padded = np.pad(part, (max(0, -low), max(0, high - len(wave_f32))), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::WHISPER_HOP_SAMPLES]
    window = np.hanning(_FFT_SAMPLES + 1)[:-1]
    basis = mel_bands(_FFT_SAMPLES, 0.0, SAMPLE_RATE_HZ / 2)
    levels = np.empty((MEL_BANDS, count), np.float32)
    for begin in range(0, count, _COLUMNS_A_TRANSFORM):
        columns = slice(begin, min(begin + _COLUMNS_A_TRANSFORM, count))
        power = np.abs(np.fft.rfft(frames[columns] * window, axis=1)) ** 2
        levels[:, columns] = np.log10(np.maximum(_LOWEST, basis @ power.T))
    return levels


def scaled_levels(levels: F32Array, loudest: float) -> F32Array:
    """Return levels as Whisper takes them.

    Args:
        levels: Of any shape.
        loudest: The highest level of the audio; what is far below counts as silence.
    """
    return cast(
        "F32Array", (np.maximum(levels, np.float32(loudest - _RANGE)) + np.float32(_SHIFT)) / np.float32(_SCALE)
    )
