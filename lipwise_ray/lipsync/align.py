"""Alignment of a face's five points to the template that restorers were trained on."""

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


def aligned_to_shown(
    landmarks: F32Array, size_px: int, aspect: float = 1.0, template: F64Array = TEMPLATE / TEMPLATE_PX
) -> F64Array:
    """Return the similarity (rotation, one scale, shift) from an aligned crop to the shown frame.

    Args:
        landmarks: Eyes, nose, mouth corners, shape (5, 2).
        size_px: Side of the aligned crop.
        aspect: Width of a shown pixel over its height; the face is rotated and scaled as it is seen.
        template: Positions where the points belong, as shares of the crop's side, shape (5, 2).

    Returns:
        Shape (2, 3). The points of the template come to lie as near to the landmarks as a similarity allows, by
        least squares.

    Source: Umeyama 1991, in the plane, where complex numbers do it.
    """
    source = (template * size_px) @ np.array([1, 1j])
    target = landmarks.astype(np.float64) @ np.array([aspect, 1j])
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - factor * source.mean()
    square = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    return square / np.array([[aspect], [1.0]])


def roll_degrees(landmarks: F32Array, aspect: float = 1.0) -> float:
    """Return the roll of a face in degrees, clockwise, by the line through its eyes.

    Args:
        landmarks: Shape (5, 2).
        aspect: Width of a shown pixel over its height.
    """
    across, down = landmarks[1] - landmarks[0]
    return float(np.degrees(np.arctan2(down, across * aspect)))


def inverse(affine: F64Array) -> F64Array:
    """Return the affine map that undoes one, shape (2, 3)."""
    (a, b, x), (c, d, y) = affine.tolist()
    whole = a * d - b * c
    if not whole:
        raise np.linalg.LinAlgError("Singular matrix")
    back = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    return np.array(back, np.float64) / whole


def at_size(to_shown: F64Array, side_px: int, other_px: int) -> F64Array:
    """Return the map to the shown frame from a square image that is given another size, shape (2, 3).

    Args:
        to_shown: The map from the image as it is.
        side_px: Its side.
        other_px: Its side then.
    """
    factor = side_px / other_px
    return to_shown * np.array([factor, factor, 1])


def between(inner_to_shown: F64Array, outer_to_shown: F64Array) -> F64Array:
    """Return the map from one crop to another, by way of the shown frame.

    Args:
        inner_to_shown: Affine map from the first crop to the shown frame, shape (2, 3).
        outer_to_shown: That of the second, shape (2, 3).
    """
    return compose(inverse(outer_to_shown), inner_to_shown)
