"""Voice activity: speech and pauses of an audio stream, by a network's probabilities, or else by its level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lipwise_ray.lipsync.mel import MEL_RATE_HZ, SAMPLE_RATE_HZ, level_db
from lipwise_ray.values import BoolArray, F32Array, F64Array, FloatArray, I64Array

WINDOW_SAMPLES = 512
"""Samples that one probability is of, at 16 kHz: 32 ms."""

BY_LEVEL = "level"
"""Name in records of the rule by level, which takes the place of a detector."""

SURE, _UNSURE = 0.5, 0.35
"""Speech begins at the former probability and lasts to the latter. Source: silero-vad's own splitter."""

_SHORTEST_WINDOWS = 3
"""Speech that is shorter is none: a syllable lasts longer."""

_LEAD_S, _LAG_S = 1 / MEL_RATE_HZ, 0.06
"""Delay of the probabilities behind the begin of speech and behind its end, by `benchmarks.speech`."""

_BLOCK_COLUMNS = 8000
_LOUDEST_S = 0.2
_QUIET_DB = -70.0
"""An audio stream whose loudest moment is below this (0 is full scale) holds no speech."""

_NEAR_DB, _FAR_DB, _ABOVE_NOISE_DB = 20.0, 40.0, 8.0
"""Speech is what is at least 8 dB above the quietest tenth; that bound stays between 40 and 20 dB below the loudest."""

_CLICK_S, _HOLD_S = 0.04, 0.1


@dataclass(frozen=True, slots=True)
class SpeechDetector:
    """A voice activity detector.

    Attributes:
        id: Names its records: all that decides its probabilities.
        detect: Returns the probability of speech in each window of `WINDOW_SAMPLES`, the last one padded with silence,
            shape (windows,), from mono samples at 16 kHz of any length, which may be a map of a file. Its second
            argument is called now and then.
    """

    id: str
    detect: Callable[[F32Array, Callable[[], None]], F32Array]


def spoken(probability: FloatArray, columns: int, min_pause_s: float) -> BoolArray:
    """Return the mask of mel columns that belong to speech, by a detector's probabilities.

    Args:
        probability: Of speech in each window of `WINDOW_SAMPLES`, shape (windows,).
        columns: How many the mel has.
        min_pause_s: Shorter pauses count as speech.

    Returns:
        Shape (columns,).
    """
    window_s = WINDOW_SAMPLES / SAMPLE_RATE_HZ
    found = np.zeros(columns, np.bool_)
    for start, stop in speech_windows(probability):
        lag_s = _LAG_S if stop < len(probability) else 0  # to the audio's end the probabilities do not fall
        first, last = (start * window_s - _LEAD_S) * MEL_RATE_HZ, (stop * window_s - lag_s) * MEL_RATE_HZ
        found[max(0, round(first)) : round(last)] = True
    return without_short_pauses(found, min_pause_s) if found.any() else found


def speech_windows(probability: FloatArray) -> I64Array:
    """Return ``[start, stop)`` of the stretches of speech in windows, shape (R, 2).

    Args:
        probability: Of speech in each window, shape (windows,).
    """
    lasting = runs(probability >= _UNSURE)
    begins = np.array([start + _first(probability[start:stop] >= SURE) for start, stop in lasting], np.int64)
    stops = lasting[:, 1]
    long_enough = stops - begins >= _SHORTEST_WINDOWS
    return np.stack([begins, stops], axis=1)[long_enough]


def _first(mask: BoolArray) -> int:
    """Return the place of the first True, the mask's length where there is none."""
    return int(mask.argmax()) if mask.any() else len(mask)


def voiced(mel: FloatArray, min_pause_s: float) -> BoolArray:
    """Return the mask of mel columns that belong to speech, by their level: over music every pause is speech.

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
    return without_short_pauses(held, min_pause_s)


def without_short_pauses(speech: BoolArray, min_pause_s: float) -> BoolArray:
    """Take pauses that are shorter than that for speech, those at both ends too, in place.

    Args:
        speech: Mask of mel columns, shape (columns,); also returned.
        min_pause_s: Length of the shortest pause.
    """
    for start, stop in runs(~speech):
        if stop - start < min_pause_s * MEL_RATE_HZ:
            speech[start:stop] = True
    return speech


def runs(mask: BoolArray) -> I64Array:
    """Return ``[start, stop)`` of every stretch that is True, shape (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.int64)


def _moving_mean(values: F64Array, width: int) -> F64Array:
    width = max(1, min(width, len(values)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[width:] - total[:-width]) / width
