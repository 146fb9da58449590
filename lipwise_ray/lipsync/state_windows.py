"""Windows of an audio encoder's states, around the times of frames."""

from __future__ import annotations

import numpy as np

from lipwise_ray.lipsync.audio_features import AudioFeature
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.values import F32Array, FloatArray, I64Array


def state_window(
    states: FloatArray, silence: FloatArray, step: int, feature: AudioFeature, pauses: I64Array | None = None
) -> F32Array:
    """Return the steps around one, as tokens; where that passes an end of the audio, zeros or the step at the end.

    The step at an end goes on for no longer than a window, as in training; beyond that there is silence, for a mouth
    would stay as that step has it for as long as the video goes on.

    Args:
        states: Shape (steps, states, channels), at least one step.
        silence: States of a silent step, shape (states, channels).
        step: Step of the frame's time; may be negative or past the end.
        feature: The window.
        pauses: ``[start, stop)`` of mel columns that are to be silent, rising, shape (P, 2).

    Returns:
        Shape (columns * states, channels), float32: the states of a step one after the other.
    """
    first = step - feature.lead_columns
    out = np.zeros((feature.columns, *silence.shape), np.float32)
    steps = np.arange(first, first + feature.columns)
    if feature.is_clamped:
        is_near = (steps >= -feature.columns) & (steps < len(states) + feature.columns)
        out[~is_near] = silence
        steps = np.where(is_near, np.clip(steps, 0, len(states) - 1), steps)
    places = np.flatnonzero((steps >= 0) & (steps < len(states)))
    if len(places):
        out[places] = states[steps[places]]
        if pauses is not None and len(pauses):
            columns = (steps[places] * MEL_RATE_HZ) // feature.rate_hz
            pause = np.searchsorted(pauses[:, 1], columns, side="right")
            starts = np.append(pauses[:, 0], columns[-1] + 1)
            out[places[columns >= starts[pause]]] = silence
    return out.reshape(feature.shape)
