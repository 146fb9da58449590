"""Voice activity: speech and pauses of an audio stream, by its level."""

from __future__ import annotations

import numpy as np

from lipwise_ray.lipsync.mel import MEL_RATE_HZ, level_db
from lipwise_ray.values import BoolArray, F64Array, FloatArray, I64Array

_BLOCK_COLUMNS = 8000
_LOUDEST_S = 0.2
_QUIET_DB = -70.0
"""An audio stream whose loudest moment is below this (0 is full scale) holds no speech."""

_NEAR_DB, _FAR_DB, _ABOVE_NOISE_DB = 20.0, 40.0, 8.0
"""Speech is what is at least 8 dB above the quietest tenth; that bound stays between 40 and 20 dB below the loudest."""

_CLICK_S, _HOLD_S = 0.04, 0.1


def voiced(mel: FloatArray, min_pause_s: float) -> BoolArray:
    """Return the mask of mel columns that belong to speech.

    Args:
        mel: Shape (columns, 80), in [-4, 4].
        min_pause_s: Shorter pauses count as speech.

    Returns:
        Shape (columns,). Speech is held for a tenth of a second at both ends.
    """
    level = np.concatenate(
        [level_db(mel[start : start + _BLOCK_COLUMNS]) for start in range(0, len(mel), _BLOCK_COLUMNS)]
    )
    loudest = float(_moving_mean(level, round(_LOUDEST_S * MEL_RATE_HZ)).max())
    if loudest < _QUIET_DB:
        return np.zeros(len(level), np.bool_)
    noise = float(np.quantile(level, 0.1))
    bound = float(np.clip(noise + _ABOVE_NOISE_DB, loudest - _FAR_DB, loudest - _NEAR_DB))
    loud = level > bound
    for start, stop in runs(loud):
        if stop - start <= _CLICK_S * MEL_RATE_HZ:
            loud[start:stop] = False
    hold = round(_HOLD_S * MEL_RATE_HZ)
    held = loud.copy()
    for start, stop in runs(loud):
        held[max(0, start - hold) : stop + hold] = True
    for start, stop in runs(~held):
        if stop - start < min_pause_s * MEL_RATE_HZ:
            held[start:stop] = True
    return held


def runs(mask: BoolArray) -> I64Array:
    """Return ``[start, stop)`` of every stretch that is True, shape (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.int64)


def _moving_mean(values: F64Array, width: int) -> F64Array:
    width = max(1, min(width, len(values)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[width:] - total[:-width]) / width
