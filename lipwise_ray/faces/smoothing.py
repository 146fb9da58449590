"""Boxes and landmarks that hold still as far as the head does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import F32Array, I64Array

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
    # Drivers, which load no networks, are spared what these load.
    from scipy.ndimage import convolve1d
    from scipy.signal import savgol_coeffs

    radius = min(radius, (len(values) - 1) // 2)
    found = values.astype(np.float64)
    for half in range(2, radius):  # three frames are a parabola themselves
        weights, width = savgol_coeffs(2 * half + 1, 2), 2 * half + 1
        for begin in (0, len(values) - width):
            found[begin + half] = weights @ values[begin : begin + width]
    if radius > 1:
        weights = savgol_coeffs(2 * radius + 1, 2)
        found[radius : len(values) - radius] = convolve1d(values, weights, axis=0)[radius : len(values) - radius]
    return found.astype(np.float32)


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
