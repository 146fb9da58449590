"""Places of a lip-sync network's crop on a face."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lipwise_ray.values import F32Array, F64Array

Alignment = Literal["box", "affine3", "ffhq"]
"""Place of a crop: its track's crop box, a similarity of the eyes and the nose, or that of all five points which
restorers take, see `align`."""

_POINTS = np.array([17 + 20j, 58 + 20j, 37.5 + 40j])
"""Eyes and nose on a canvas of 75 by 100, which is squeezed into a square crop. Source: LatentSync
utils/affine_transform.py."""

_CANVAS = np.array([75.0, 100.0])


def three_points_to_shown(landmarks: F32Array, size_px: int, aspect: float = 1.0) -> F64Array:
    """Return the map from LatentSync's crop to the shown frame, by a face's eyes and nose.

    Args:
        landmarks: Eyes, nose, mouth corners, shape (5, 2). The detector's eyes stand for the means of five points
            around each, and its tip of the nose for the mean of four there.
        size_px: Side of the crop.
        aspect: Width of a shown pixel over its height.

    Returns:
        Shape (2, 3). The points' deviations from their middle agree with the template's in sum, and are turned to fit
        it best.

    Source: LatentSync utils/affine_transform.py, AlignRestore; differs in: points are not rounded, nothing is smoothed
    over frames in their order (there a bias of about a pixel, so that a frame's crop depends on all before it), and the
    map is not in half precision, which moves faces by whole pixels in large frames.
    """
    template = _POINTS - _POINTS.mean()
    seen = landmarks[:3].astype(np.float64) @ np.array([aspect, 1j])
    centred = seen - seen.mean()
    turn = np.vdot(template, centred)
    factor = turn / max(abs(turn), np.finfo(np.float64).tiny) * (np.linalg.norm(centred) / np.linalg.norm(template))
    shift = seen.mean() - factor * _POINTS.mean()
    canvas_to_square = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    canvas_to_square[:, :2] *= _CANVAS / size_px
    return canvas_to_square / np.array([[aspect], [1.0]])
