"""Plausibility of five points as those of a face: their distance from any view of one."""

from __future__ import annotations

import math

import numpy as np

from lipwise_ray.values import F32Array, F64Array

_MODEL = np.array(
    [
        [-0.5, -0.5, -0.158],
        [0.5, -0.5, -0.158],
        [0.0, 0.04, 0.392],
        [-0.4, 0.48, -0.038],
        [0.4, 0.48, -0.038],
    ]
)
"""Eyes, nose and mouth corners of a typical head: right, down, towards the viewer; its eyes are 1 apart."""

_FROM_MODEL = np.linalg.pinv(_MODEL).T
_FLAT = 1e-9
_LEAST_PX = 1e-3
_PLAIN, _ABSURD = 0.12, 0.30
"""Real faces stay below the former, also turned to a side and 30 px small; what lies beyond the latter is none."""


def misfit(landmarks: F32Array, aspect: float = 1.0) -> F64Array:
    """Return by how much the points of faces are off the best view of a typical head, shape (N,).

    It is the root mean square distance of a scaled orthographic view that is fitted to them, in units of the distance
    between the eyes.

    Args:
        landmarks: Shape (N, 5, 2).
        aspect: Width of a pixel over its height.
    """
    landmarks = landmarks * np.array([aspect, 1.0], np.float32)
    seen = views(landmarks)
    size = np.linalg.norm(seen[:, :, :3], axis=(1, 2)) / np.sqrt(2)
    off = landmarks - viewed(seen, _MODEL)
    rms = np.sqrt((off**2).sum(axis=(1, 2)) / len(_MODEL))
    return np.where(size > _LEAST_PX, rms / np.maximum(size, _LEAST_PX), np.inf)


def views(landmarks: F32Array | F64Array) -> F64Array:
    """Return the views of a typical head that fit faces best: turned, scaled and moved, by least squares.

    Args:
        landmarks: Shape (N, 5, 2).

    Returns:
        Maps from the head (right, down, towards the viewer, as it looks; its eyes are 1 apart) to the landmarks'
        pixels, shape (N, 2, 4).
    """
    points = landmarks.astype(np.float64)
    centre = points.sum(axis=1) / len(_MODEL)
    free = (points - centre[:, None]).transpose(0, 2, 1) @ _FROM_MODEL
    return np.concatenate([_turned_and_scaled(free), centre[:, :, None]], axis=2)


def _turned_and_scaled(free: F64Array) -> F64Array:
    """Return the nearest maps that turn and scale, and do nothing else, shape (N, 2, 3).

    Args:
        free: Any maps, of the same shape.

    Source: the polar factor of a matrix, with the root of a 2x2 matrix by Cayley and Hamilton.
    """
    square = free @ free.transpose(0, 2, 1)
    own, other, mixed = square[:, 0, 0], square[:, 1, 1], square[:, 0, 1]
    product = np.sqrt(np.maximum(own * other - mixed * mixed, 0))  # of the singular values; their sum:
    total = np.sqrt(own + other + 2 * product)
    if (product <= _FLAT * total * total).any():  # points on a line have more than one answer
        left, sizes, right = np.linalg.svd(free, full_matrices=False)
        return np.asarray(sizes.mean(axis=1)[:, None, None] * (left @ right), np.float64)
    # Half of their sum, times the inverse of the root: the root is (square + product) / total.
    adjoint = np.empty_like(square)
    adjoint[:, 0, 0], adjoint[:, 1, 1] = other + product, own + product
    adjoint[:, 0, 1] = adjoint[:, 1, 0] = -mixed
    return np.asarray((0.5 / product)[:, None, None] * (adjoint @ free), np.float64)


def eyes_px(view: F64Array) -> float:
    """Return the distance of a head's eyes were it seen from the front, in pixels.

    Args:
        view: One of `views`, shape (2, 4).
    """
    linear = view[:, :3].ravel()
    return math.sqrt(float(linear @ linear) / 2)


def downwards(view: F64Array) -> F64Array:
    """Return the direction in which a head's chin is, of length 1, shape (2,).

    Args:
        view: One of `views`, shape (2, 4).
    """
    return view[:, 1] / max(math.hypot(*view[:, 1]), 1e-6)


def viewed(seen: F64Array, points: F64Array) -> F64Array:
    """Return points of a head as they are seen, shape (N, M, 2).

    Args:
        seen: Of `views`.
        points: In the head's coordinates, shape (M, 3).
    """
    return points @ seen[:, :, :3].transpose(0, 2, 1) + seen[:, None, :, 3]


def plausibility(landmarks: F32Array, aspect: float = 1.0) -> F64Array:
    """Return the plausibility of points as those of a face, shape (N,): 1 for any view of a head, 0 for none.

    Args:
        landmarks: Shape (N, 5, 2).
        aspect: Width of a pixel over its height.
    """
    return np.clip((_ABSURD - misfit(landmarks, aspect)) / (_ABSURD - _PLAIN), 0.0, 1.0)
