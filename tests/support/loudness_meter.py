"""Loudness and true peak by ITU-R BS.1770-4, written from its text: a judge that shares no code with the product's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy  # which loads its parts where they are asked for

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio

_WEIGHTS = {5: 1.41, 4: 1.41}  # channels of 5.1 behind the listener; the bass channel, 3, counts nothing


def samples_in(path: Path) -> tuple[Any, int]:
    """Return the samples of a file, shape (channels, N), and their rate."""
    info = probe_audio(path)
    return np.concatenate(list(AudioReader(info).blocks(info.rate_hz, info.layout)), axis=1), info.rate_hz


def _k_weighted(samples: Any, rate_hz: int) -> Any:
    """Pass samples through the shelf and the high pass of annex 1, given there as analogue prototypes at 48 kHz."""
    gain, q, hz = 10 ** (3.999843853973347 / 20), 0.7071752369554196, 1681.974450955533
    w = 2 * np.pi * hz
    warped = 2 * rate_hz * np.tan(w / rate_hz / 2)
    band = gain**0.4996667741545416
    shelf = scipy.signal.bilinear([gain, warped * band / q, warped**2], [1, warped / q, warped**2], rate_hz)
    low = 2 * rate_hz * np.tan(2 * np.pi * 38.13547087602444 / rate_hz / 2)
    b, a = scipy.signal.bilinear([1, 0, 0], [1, low / 0.5003270373238773, low**2], rate_hz)
    return scipy.signal.lfilter(b / b[0], a, scipy.signal.lfilter(*shelf, samples))


def integrated_lufs(samples: Any, rate_hz: int) -> float:
    """Return the gated loudness of samples of shape (channels, N)."""
    power = _k_weighted(samples, rate_hz) ** 2
    weights = np.array([0.0 if len(power) == 6 and i == 3 else _WEIGHTS.get(i, 1.0) for i in range(len(power))])
    block, step = round(0.4 * rate_hz), round(0.1 * rate_hz)
    starts = range(0, power.shape[1] - block + 1, step)
    blocks = np.array([weights @ power[:, start : start + block].mean(axis=1) for start in starts])
    loudness = -0.691 + 10 * np.log10(np.maximum(blocks, 1e-30))
    above = blocks[loudness > -70]
    relative = -0.691 + 10 * np.log10(above.mean()) - 10
    return float(-0.691 + 10 * np.log10(blocks[(loudness > -70) & (loudness > relative)].mean()))


def true_peak_db(samples: Any) -> float:
    """Return the largest value between samples too, in dB of full scale, sought on eight times as many."""
    return float(20 * np.log10(np.abs(scipy.signal.resample_poly(samples, 8, 1, axis=1)).max()))
