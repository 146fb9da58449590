"""Mel windows of frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipwise_ray.lipsync.mel import MEL_BANDS, MEL_RATE_HZ, SILENCE
from lipwise_ray.values import F32Array, FloatArray, I64Array

WINDOW_COLUMNS = 16
"""Mel columns a frame: 200 ms from the frame's time on. Source: Wav2Lip inference.py, mel_step_size."""

CROP_RATE_HZ = 25
"""Frames a second of the face crops that lip-sync experts look at, and that training takes."""


def constant_rate_starts(frames: int, rate: Fraction, offset_ms: float = 0.0) -> I64Array:
    """Return the first mel column of every frame at a constant rate, shape (frames,).

    Args:
        frames: Number of frames.
        rate: Exact frames a second.
        offset_ms: Look this much later into the audio.

    Source: Wav2Lip inference.py; the order of operations is kept, because
    ``int(i * (80 / fps))`` and ``int(i * 80 / fps)`` differ at some rates.
    """
    step = 80.0 / float(rate)
    exact = np.arange(frames, dtype=np.float64) * step
    if not offset_ms:
        return np.trunc(exact).astype(np.int64)
    return np.floor(exact + offset_ms * MEL_RATE_HZ / 1000).astype(np.int64)


def timed_starts(
    times_ticks: I64Array, time_base: Fraction, offset_ms: float = 0.0, rate_hz: int = MEL_RATE_HZ
) -> I64Array:
    """Return the column of audio at the times of frames, shape (N,): of the mel the first of their windows.

    Args:
        times_ticks: Times in ticks of `time_base`, from the start of the audio, shape (N,).
        time_base: Seconds a tick.
        offset_ms: Look this much later into the audio.
        rate_hz: Columns a second.
    """
    num, den = time_base.as_integer_ratio()
    if not offset_ms:
        return (times_ticks * (rate_hz * num)) // den
    return np.floor(times_ticks * float(time_base) * rate_hz + offset_ms * rate_hz / 1000).astype(np.int64)


def reference_frames(columns: int, rate: Fraction) -> tuple[int, I64Array]:
    """Return the number of frames that the original makes of a mel, and their first columns.

    It stops at the first window that does not fit and uses the last 16 columns once.

    Args:
        columns: Columns of the mel.
        rate: Exact frames a second.

    Source: Wav2Lip inference.py, the loop over mel chunks.
    """
    starts: list[int] = []
    step = 80.0 / float(rate)
    while True:
        start = int(len(starts) * step)
        if start + WINDOW_COLUMNS > columns:
            starts.append(max(0, columns - WINDOW_COLUMNS))
            return len(starts), np.array(starts, np.int64)
        starts.append(start)


def window(mel: FloatArray, start: int, pauses: I64Array | None = None) -> F32Array:
    """Return 16 columns from `start` on; silence where that passes an end.

    Args:
        mel: Shape (columns, 80).
        start: First column; may be negative or past the end.
        pauses: ``[start, stop)`` of columns that are to be silent, rising, shape (P, 2).

    Returns:
        Shape (80, 16), float32.
    """
    low, high = max(0, start), min(len(mel), start + WINDOW_COLUMNS)
    out = np.full((MEL_BANDS, WINDOW_COLUMNS), SILENCE, np.float32)
    if low < high:
        out[:, low - start : high - start] = mel[low:high].T
    if pauses is not None and len(pauses):
        first = int(np.searchsorted(pauses[:, 1], start, side="right"))
        for begin, end in pauses[first:]:
            if begin >= start + WINDOW_COLUMNS:
                break
            out[:, max(0, int(begin) - start) : int(end) - start] = SILENCE
    return out
