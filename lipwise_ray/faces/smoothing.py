"""Boxes and landmarks that hold still as far as the head does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import F32Array, F64Array, I64Array

_REFERENCE_WINDOW = 5  # Wav2Lip inference.py, T = 5


def smooth(tracks: Tracks, radius_frames: int) -> Tracks:
    """Return the tracks with boxes and landmarks as calm as means of ``2 * radius + 1`` frames would make them.

    They are the middles of parabolas through twice as many frames, which tremble no more than such means and follow a
    head that nods: a mean cuts off a part of each nod. Windows end at a track's ends, so nothing leaks over a cut.

    Source: Savitzky and Golay 1964; windows that would pass an end shrink on both sides.
    """
    if radius_frames < 1:
        return tracks
    box, landmarks = tracks.box.copy(), tracks.landmarks.copy()
    for number in tracks.numbers:
        rows = tracks.rows(number)
        box[rows] = _fitted(tracks.box[rows], 2 * radius_frames + 1)
        flat = tracks.landmarks[rows].reshape(-1, LANDMARKS * 2)
        landmarks[rows] = _fitted(flat, 2 * radius_frames + 1).reshape(-1, LANDMARKS, 2)
    return replace(tracks, box=box, landmarks=landmarks)


def _fitted(values: F32Array, radius: int) -> F32Array:
    radius = min(radius, (len(values) - 1) // 2)
    found = values.astype(np.float64)
    for half in range(2, radius):  # three frames are a parabola themselves
        weights, width = parabola_weights(half), 2 * half + 1
        for begin in (0, len(values) - width):
            found[begin + half] = weights @ values[begin : begin + width]
    if radius > 1:
        found[radius : len(values) - radius] = _middles(values.astype(np.float64), radius)
    return found.astype(np.float32)


def parabola_weights(radius: int) -> F64Array:
    """Fit a parabola to ``2 * radius + 1`` values: weights whose sum of products is its middle.

    Args:
        radius: At least 1.

    Source: as `scipy.signal.savgol_coeffs` of that width and order 2, whose package takes half a second to load.
    """
    powers = np.arange(radius, -radius - 1, -1.0) ** np.arange(3)[:, None]
    return np.asarray(np.linalg.lstsq(powers, np.array([1.0, 0.0, 0.0]), rcond=None)[0], np.float64)


def _middles(values: F64Array, radius: int) -> F64Array:
    """Return the middles of parabolas through all whole windows; pairs are added first, the outermost before others."""
    weights, count = parabola_weights(radius), len(values) - 2 * radius
    found = values[radius : radius + count] * weights[radius]
    for apart in range(radius, 0, -1):
        pair = values[radius - apart :][:count] + values[radius + apart :][:count]
        found += pair * weights[radius - apart]
    return found


def reference_smooth(boxes: I64Array) -> I64Array:
    """Return boxes smoothed as the original does it: forward-looking, in place, truncating.

    Args:
        boxes: Integer boxes of consecutive frames, shape (N, 4) or (N,).

    Source: Wav2Lip inference.py, get_smoothened_boxes with T = 5.
    """
    result = boxes.copy()
    for place in range(len(result)):
        window = result[place : place + _REFERENCE_WINDOW]
        if place + _REFERENCE_WINDOW > len(result):
            # For fewer frames than the window this start is negative and counts from the end.
            window = result[len(result) - _REFERENCE_WINDOW :]
        result[place] = np.trunc(window.mean(axis=0)).astype(np.int64)
    return result
