"""Where a face's five points belong in the picture that restorers were trained on."""

from __future__ import annotations

import numpy as np

from lipwise_ray.media.region import compose
from lipwise_ray.values import F32Array, F64Array

TEMPLATE_PX = 512
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Eyes, nose and mouth corners in an aligned face of 512 pixels. Source: FFHQ's alignment, as GFPGAN uses it."""


def aligned_to_shown(landmarks: F32Array, size_px: int) -> F64Array:
    """Return the similarity (turn, one scale, shift) from an aligned crop to the shown picture.

    Args:
        landmarks: Eyes, nose, mouth corners, shape (5, 2).
        size_px: Side of the aligned crop.

    Returns:
        Shape (2, 3). The points of the template come to lie as near to the landmarks as a similarity allows, by
        least squares.

    Source: Umeyama 1991, in the plane, where complex numbers do it.
    """
    source = (TEMPLATE * (size_px / TEMPLATE_PX)) @ np.array([1, 1j])
    target = landmarks.astype(np.float64) @ np.array([1, 1j])
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def inverse(affine: F64Array) -> F64Array:
    """Return the affine map that undoes one, shape (2, 3)."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]]).astype(np.float64)


def between(inner_to_shown: F64Array, outer_to_shown: F64Array) -> F64Array:
    """Return the map from one crop to another, by way of the shown picture."""
    return compose(inverse(outer_to_shown), inner_to_shown)
