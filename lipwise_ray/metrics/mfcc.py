"""Cepstra of an audio stream, as SyncNet has learnt to hear it; computed block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lipwise_ray.values import F32Array, F64Array

RATE_HZ = 16_000
STEP_SAMPLES = 160
CEPSTRA = 13
_WINDOW_SAMPLES = 400
_FFT = 512
_FILTERS = 26
_EMPHASIS = 0.97
_LIFTER = 22
_BLOCK_COLUMNS = 6000


def columns_of(samples: int) -> int:
    """Return the number of columns of an audio stream: every 10 ms a window of 25 ms, the last padded with silence."""
    return 1 if samples <= _WINDOW_SAMPLES else 1 + -(-(samples - _WINDOW_SAMPLES) // STEP_SAMPLES)


def mfcc(wave: F32Array) -> F32Array:
    """Return cepstra, shape (columns, 13), float32.

    Args:
        wave: Mono at 16 kHz in [-1, 1], shape (N,); it is rounded to 16 bits, as the published protocol reads it.

    Source: python_speech_features' mfcc with its defaults: 26 triangles on the mel scale from 0 to 8000 Hz over the
    power of 512 points, pre-emphasis 0.97, no window function, lifter 22, the energy's logarithm in place of c0.
    """
    return np.concatenate(list(_blocks(wave)))


def _blocks(wave: F32Array) -> Iterator[F32Array]:
    filters, cosines = _triangles(), _cosines()
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    columns = columns_of(len(wave))
    for first in range(0, columns, _BLOCK_COLUMNS):
        count = min(_BLOCK_COLUMNS, columns - first)
        start, length = first * STEP_SAMPLES, (count - 1) * STEP_SAMPLES + _WINDOW_SAMPLES
        levels = np.clip(np.rint(wave[max(0, start - 1) : start + length] * 32768.0), -32768, 32767).astype(np.float64)
        before = levels[:-1] if start else np.concatenate([[0.0], levels[:-1]])
        emphasised = levels[len(levels) - len(before) :] - _EMPHASIS * before
        emphasised = np.pad(emphasised, (0, length - len(emphasised)))
        frames = np.lib.stride_tricks.sliding_window_view(emphasised, _WINDOW_SAMPLES)[::STEP_SAMPLES]
        power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
        energy = _positive(power.sum(axis=1))
        lifted = np.log(_positive(power @ filters.T)) @ cosines.T * lifter
        lifted[:, 0] = np.log(energy)
        yield lifted.astype(np.float32)


def _positive(values: F64Array) -> F64Array:
    return np.where(values == 0, np.finfo(float).eps, values)


def _cosines() -> F64Array:
    """Return the orthonormal cosine transform (DCT-II), shape (13, 26), without loading SciPy's."""
    angles = np.pi / _FILTERS * np.arange(CEPSTRA)[:, None] * (np.arange(_FILTERS) + 0.5)
    return np.cos(angles) * np.sqrt(np.where(np.arange(CEPSTRA) > 0, 2, 1) / _FILTERS)[:, None]


def _triangles() -> F64Array:
    """Return the filters, shape (26, 257)."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    bins = np.floor((_FFT + 1) * hertz / RATE_HZ)
    place = np.arange(_FFT // 2 + 1)[None]
    low, peak, high = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    rising = (place - low) / np.maximum(peak - low, 1)
    falling = (high - place) / np.maximum(high - peak, 1)
    inside_left, inside_right = (place >= low) & (place < peak), (place >= peak) & (place < high)
    return np.where(inside_left, rising, np.where(inside_right, falling, 0.0))
