"""The mel spectrogram that Wav2Lip was trained on, over files of any length in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np

from lipwise_ray.errors import AudioError
from lipwise_ray.values import Complex64Array, F32Array, F64Array, FloatArray

# Source: Wav2Lip hparams.py.
MEL_BANDS = 80
MEL_RATE_HZ = 80
SAMPLE_RATE_HZ = 16_000
MEL_HOP_SAMPLES = 200
_FFT_SAMPLES = 800
_PREEMPHASIS = 0.97
_LOW_HZ, _HIGH_HZ = 55.0, 7600.0
_MIN_LEVEL_DB, _REF_LEVEL_DB = -100.0, 20.0
_FLOOR = 1e-5
_LIMIT = 4.0
SILENCE, LOUDEST = -_LIMIT, _LIMIT
"""Values of every band in silence, and of the loudest that the scale has."""

MEL_DTYPE = "<f2"
"""Sample format of a mel in a file: little-endian float16."""

_BLOCK_COLUMNS = 2000
_FRAMES_A_TRANSFORM = 40
_LINEAR_HZ, _HZ_A_MEL, _LOG_STEP = 1000.0, 200.0 / 3, float(np.log(6.4)) / 27.0
_HALF = _FFT_SAMPLES // 2


def mel_columns(samples: int) -> int:
    """Return the number of mel columns of a wave."""
    return 1 + samples // MEL_HOP_SAMPLES


def mel_spectrogram(wave_f32: F32Array) -> F32Array:
    """Return the mel spectrogram of a wave.

    Args:
        wave_f32: Mono samples in [-1, 1] at 16 kHz, shape (N,).

    Returns:
        Shape (80, 1 + N // 200), float32 in [-4, 4].

    Raises:
        AudioError: The wave is empty or holds NaN.

    Source: Wav2Lip audio.py; differs in: the padding is explicit (reflect), and the wave is
    worked through in blocks whose columns do not depend on the block.
    """
    return np.concatenate(list(_blocks(wave_f32)), axis=0).T


def level_db(mel: FloatArray) -> F64Array:
    """Return the level of each column: the mean amplitude of its bands.

    Args:
        mel: Shape (columns, 80), in [-4, 4].

    Returns:
        Shape (columns,), in dB; the scale's floor is -80.
    """
    band_db = (mel.astype(np.float64) + _LIMIT) / (2 * _LIMIT) * -_MIN_LEVEL_DB + _MIN_LEVEL_DB + _REF_LEVEL_DB
    return 20 * np.log10((10 ** (band_db / 20)).mean(axis=1))


def write_mel(wave_path: Path, target: Path, *, gain: float = 1.0) -> int:
    """Compute the mel of a file of raw float32 samples and write it as .npy.

    Args:
        wave_path: Mono little-endian float32 samples at 16 kHz.
        target: Gets an array of shape (columns, 80), so that a window is one contiguous read. It is of float16: 13 KB a
            second of audio, and off by at most 0.001 of the scale's 8, an eightieth of a decibel.
        gain: Factor by which the samples are made louder first.

    Returns:
        The number of columns.

    Raises:
        AudioError: The wave is empty or holds NaN.
    """
    samples = wave_path.stat().st_size // 4
    wave = np.memmap(wave_path, np.float32, "r", shape=(samples,)) if samples else np.zeros(0, np.float32)
    columns = mel_columns(samples)
    # Written, not mapped: a full disk is then an error and not a dead process.
    header = {"descr": MEL_DTYPE, "fortran_order": False, "shape": (columns, MEL_BANDS)}
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in _blocks(cast("F32Array", wave), gain):
            file.write(np.ascontiguousarray(block, MEL_DTYPE).tobytes())
    return columns


def spectrum(samples_f32: F32Array) -> Complex64Array:
    """Return the short-time Fourier transform of samples, without padding.

    Args:
        samples_f32: Shape (N,), at least 800.

    Returns:
        Shape (401, 1 + (N - 800) // 200).

    Source: librosa.stft, whose numbers it gives to the bit; librosa loads numba and a statistics package with it.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples_f32, _FFT_SAMPLES)[::MEL_HOP_SAMPLES]
    # One sample longer, its last left out, which makes it periodic; the two cosines as SciPy adds them up.
    window = (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, _FFT_SAMPLES + 1)))[:-1]
    found = np.empty((1 + _FFT_SAMPLES // 2, len(frames)), np.complex64, order="F")
    for start in range(0, len(frames), _FRAMES_A_TRANSFORM):
        part = slice(start, start + _FRAMES_A_TRANSFORM)
        found[:, part] = np.fft.rfft(window[:, None] * frames[part].T, axis=0)
    return found


def mel_basis() -> F32Array:
    """Return the weights that make bands of Wav2Lip's frequencies, shape (80, 401)."""
    return mel_bands(_FFT_SAMPLES, _LOW_HZ, _HIGH_HZ)


@cache
def mel_bands(fft_samples: int, low_hz: float, high_hz: float) -> F32Array:
    """Return the weights that make 80 bands of frequencies: triangles of equal area.

    Args:
        fft_samples: Length of the transform, at 16 kHz.
        low_hz: Where the lowest band begins.
        high_hz: Where the highest ends.

    Returns:
        Shape (80, fft_samples // 2 + 1).

    Source: librosa.filters.mel, Slaney's scale and norm (Auditory Toolbox, 1998): even steps up to 1 kHz, equal ratios
    beyond.
    """
    low, high = (_mel_of(hz) for hz in (low_hz, high_hz))
    edges_hz = _hz_of(np.linspace(low, high, MEL_BANDS + 2))
    widths_hz = np.diff(edges_hz)
    slopes = np.subtract.outer(edges_hz, np.fft.rfftfreq(fft_samples, 1 / SAMPLE_RATE_HZ))
    rising, falling = -slopes[:-2] / widths_hz[:-1, None], slopes[2:] / widths_hz[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    weights *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return weights


def _mel_of(hz: float) -> float:
    if hz < _LINEAR_HZ:
        return hz / _HZ_A_MEL
    return _LINEAR_HZ / _HZ_A_MEL + float(np.log(hz / _LINEAR_HZ)) / _LOG_STEP


def _hz_of(mels: F64Array) -> F64Array:
    linear = _LINEAR_HZ / _HZ_A_MEL
    return np.where(mels >= linear, _LINEAR_HZ * np.exp(_LOG_STEP * (mels - linear)), _HZ_A_MEL * mels)


def _blocks(wave: F32Array, gain: float = 1.0) -> Iterator[F32Array]:
    """Yield (columns, 80) blocks."""
    if len(wave) == 0:
        raise AudioError("no_samples", "audio", got="holds no samples")
    basis = mel_basis()
    total = mel_columns(len(wave))
    for start in range(0, total, _BLOCK_COLUMNS):
        stop = min(start + _BLOCK_COLUMNS, total)
        padded = _emphasised(wave, start * MEL_HOP_SAMPLES - _HALF, (stop - 1) * MEL_HOP_SAMPLES + _HALF)
        padded *= np.float32(gain)
        if not np.isfinite(padded).all():
            raise AudioError("not_finite", "audio", got="holds NaN or infinity", do="Export the audio again")
        level_db = 20 * np.log10(np.maximum(_FLOOR, basis @ np.abs(spectrum(padded)))) - _REF_LEVEL_DB
        scaled = 2 * _LIMIT * (level_db - _MIN_LEVEL_DB) / -_MIN_LEVEL_DB - _LIMIT
        yield np.clip(scaled, -_LIMIT, _LIMIT).astype(np.float32).T


def _emphasised(wave: F32Array, start: int, stop: int) -> F32Array:
    """Return pre-emphasised samples ``[start, stop)``, reflected where that passes an end of the wave."""
    count = len(wave)
    low, high = max(0, start), min(count, stop)
    # A reflection reaches as far inside as it does outside.
    low = max(0, min(low, count - 1 - (stop - count))) if stop > count else low
    high = min(count, max(high, -start + 1)) if start < 0 else high
    part = np.asarray(wave[max(0, low - 1) : high], np.float32)
    emphasised = part.copy()
    emphasised[1:] -= np.float32(_PREEMPHASIS) * part[:-1]
    if low > 0:
        emphasised = emphasised[1:]
    before, after = max(0, -start), max(0, stop - count)
    if before or after:
        emphasised = np.pad(emphasised, (before, after), mode="reflect")
        low -= before
    return emphasised[start - low : stop - low]
