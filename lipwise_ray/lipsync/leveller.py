"""Levelling of a wave for voice activity detection: speech comes at about one level, whatever is loud elsewhere."""

from __future__ import annotations

import numpy as np

from lipwise_ray.values import BoolArray, F32Array, F64Array

_TARGET_DB = -22.0
"""Mean level that the detector hears. Speech is found from 45 dB below full scale to full scale, so there is room for
short sounds in long pauses, which are louder than the mean."""

_MOST_GAIN_DB, _LEAST_GAIN_DB = 60.0, -30.0
_AROUND_S = 3.0
_SILENCE = 1e-9
_MOMENT_S, _LOUD, _FAINT_DB = 0.1, 0.95, 45.0
"""Distance of a murmur from the loud moments of the speech, at which it is none: other voices leak into recordings."""

_BLOCK_WINDOWS = 512


class Leveller:
    """Gain of a wave over time, by the mean amplitude of the three seconds before and after each moment.

    The mean amplitude, not the power, so that clicks and bangs hardly count; around each moment, not of the whole, so
    that a whispered scene is heard beside a loud one. The gain is a function of the wave alone: blocks do not show.

    Args:
        wave_f32: Mono samples, shape (N,); it may be a map of a file.
        window_samples: Samples of which one level is taken.
        rate_hz: Sample rate.
    """

    def __init__(self, wave_f32: F32Array, window_samples: int, rate_hz: int) -> None:
        self._wave = wave_f32
        self._window = window_samples
        windows = -(-len(wave_f32) // window_samples)
        amplitude, total = np.zeros(windows), 0.0
        for start in range(0, windows, _BLOCK_WINDOWS):
            stop = start + _BLOCK_WINDOWS
            samples = np.asarray(wave_f32[start * window_samples : stop * window_samples], np.float64)
            total += float(samples.sum())
            block = np.pad(samples, (0, -len(samples) % window_samples), mode="edge").reshape(-1, window_samples)
            amplitude[start : start + len(block)] = block.std(axis=1)
        self._offset = total / max(1, len(wave_f32))
        self._windows_a_second = rate_hz / window_samples
        self._amplitude = amplitude
        mean_db = self._mean_db(_AROUND_S)
        self._gain_db = np.clip(_TARGET_DB - mean_db, _LEAST_GAIN_DB, _MOST_GAIN_DB)

    @property
    def windows(self) -> int:
        """Number of windows of the wave; the last one may be padded."""
        return len(self._gain_db)

    def is_faint(self, speech: BoolArray) -> BoolArray:
        """Return the windows that are far quieter than the speech, where a murmur is not meant to be heard.

        Args:
            speech: The windows that hold speech, shape (windows,).
        """
        level_db = self._mean_db(_MOMENT_S)
        loud_db = np.quantile(level_db[speech], _LOUD) if speech.any() else -np.inf
        return level_db < loud_db - _FAINT_DB

    def _mean_db(self, around_s: float) -> F64Array:
        mean = _centred_mean(self._amplitude, round(around_s * self._windows_a_second))
        return 20 * np.log10(np.maximum(mean, _SILENCE))

    def levelled(self, start: int, stop: int) -> F32Array:
        """Return samples ``[start, stop)`` without a constant offset, levelled; silence before and after the wave."""
        low, high = max(0, start), min(len(self._wave), stop)
        if low >= high:
            return np.zeros(stop - start, np.float32)
        near = np.arange(max(0, low // self._window - 1), min(self.windows, high // self._window + 2))
        gain_db = np.interp(np.arange(low, high), (near + 0.5) * self._window, self._gain_db[near])
        samples = np.asarray(self._wave[low:high], np.float64) - self._offset
        return np.pad(np.asarray(samples * 10 ** (gain_db / 20), np.float32), (low - start, stop - high))


def _centred_mean(values: F64Array, around: int) -> F64Array:
    """Return the mean of each value and so many on both sides, as far as there are any."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(0, places - around), np.minimum(len(values), places + around + 1)
    return (sums[high] - sums[low]) / (high - low)
