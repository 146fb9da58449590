"""The lower half of a typical head as a mesh: what a face's jaw and profile look like from any side."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lipwise_ray.faces.shape import viewed, views
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array

# Right, down and towards the viewer, as `shape.views` has them: mean of faces of nine people, each seen from many
# sides, and mirrored. The first points of each part are those of the outline.
_SIDE = np.array(
    [
        # the outline, ear to chin
        [-1.06, -0.20, -1.00],
        [-1.05, 0.03, -0.98],
        [-1.01, 0.27, -0.93],
        [-0.94, 0.52, -0.84],
        [-0.84, 0.73, -0.69],
        [-0.73, 0.87, -0.52],
        [-0.60, 0.99, -0.36],
        [-0.48, 1.08, -0.23],
        [-0.35, 1.15, -0.11],
        [-0.20, 1.21, -0.02],
        # the outer lip
        [-0.38, 0.53, -0.05],
        [-0.35, 0.58, -0.02],
        [-0.30, 0.63, 0.03],
        [-0.23, 0.69, 0.08],
        [-0.12, 0.72, 0.12],
        [-0.35, 0.49, -0.01],
        [-0.30, 0.45, 0.05],
        [-0.22, 0.41, 0.10],
        [-0.11, 0.37, 0.15],
        # cheek and chin
        [-0.51, -0.12, -0.13],
        [-0.67, 0.28, -0.19],
        [-0.27, 0.04, 0.09],
        [-0.72, 0.00, -0.23],
        [-0.69, 0.57, -0.27],
        [-0.47, 0.23, -0.06],
        [-0.58, 0.75, -0.20],
        [-0.30, 0.86, -0.02],
        [-0.19, 1.03, 0.06],
    ]
)

_MIDDLE = np.array(
    [
        [0.00, -0.04, 0.31],
        [0.00, 0.11, 0.26],
        [0.00, 0.16, 0.14],
        [0.00, 0.25, 0.14],
        [0.00, 0.39, 0.18],
        [0.00, 0.74, 0.14],
        [0.00, 0.83, 0.09],
        [0.00, 0.93, 0.10],
        [0.00, 1.04, 0.11],
        [0.00, 1.22, 0.02],
    ]
)

LOWER_FACE: F64Array = np.concatenate([_SIDE, _MIDDLE, _SIDE * [-1, 1, 1]])
"""Points of a head's lower half, shape (M, 3): of the image's left side, the middle, the right side."""

_CORNERS = """
19 57 28 19 22 0 20 2 22 60 57 38 3 20 23 3 2 20 22 1 0 2 1 22 57 59 28 25 6 5 56 59 55 59 29 28 20 10 23 10 25
23 24 22 19 24 20 22 24 10 20 10 24 15 4 3 23 25 4 23 4 25 5 52 56 55 26 6 25 41 42 61 39 60 38 39 40 60 40 58
60 58 41 61 41 58 40 53 48 49 48 58 61 56 32 31 52 32 56 12 26 25 24 16 15 29 21 28 21 19 28 21 24 19 63 48 61
48 63 49 42 63 61 64 63 44 51 52 55 52 51 64 34 26 14 34 52 64 59 62 55 62 59 57 62 48 53 48 62 58 60 62 57 58
62 60 32 33 14 33 32 52 33 34 14 34 33 52 10 11 25 11 12 25 11 10 15 16 11 15 11 16 12 26 13 14 12 13 26 30 21
29 30 29 59 30 56 31 56 30 59 17 16 24 21 17 24 13 17 14 16 17 12 17 13 12 43 63 42 63 43 44 45 64 44 45 46 64
50 51 55 51 50 64 63 50 49 50 63 64 65 46 47 46 65 64 8 27 9 27 8 26 26 7 6 8 7 26 62 54 55 54 62 53 54 50 55 54
53 49 50 54 49 18 17 21 18 30 31 30 18 21 32 18 31 18 32 14 17 18 14 35 34 64 65 35 64 34 35 26 35 27 26 36 35
65 36 47 37 36 65 47 35 36 27 9 36 37 27 36 9 57 19 0 38 57 0
"""
_TRIANGLES = np.array(_CORNERS.split(), np.int64).reshape(-1, 3)
"""Delaunay's of the points as they are seen from in front, written down: the package that finds them, SciPy's, takes a
third of a second to load, of a worker's first frame.
"""

_OUTLINE, _CORNER, _CHEEK, _UPPER, _LOWER = 10, 10, 19, 4, 5
_ON_CHIN = 0.25


def triangles() -> I64Array:
    """Return the triangles of the mesh, numbers of points, shape (T, 3)."""
    return _TRIANGLES


def typical_lower_face(landmarks: F32Array, aspect: float = 1.0) -> F32Array:
    """Return the points of the mesh in a face of which five points are known, shape (M, 2), in their pixels.

    Args:
        landmarks: Shape (5, 2).
        aspect: Width of a pixel over its height.
    """
    square = np.array([aspect, 1.0])
    return lower_face_in(views((landmarks * square)[None])[0], aspect)


def lower_face_in(view: F64Array, aspect: float = 1.0) -> F32Array:
    """Return the points of the mesh as a view of a typical head shows them, shape (M, 2), in the frame's pixels.

    Args:
        view: One of `shape.views`, of points in square pixels, shape (2, 4).
        aspect: Width of a pixel over its height.
    """
    points = viewed(view[None], LOWER_FACE)[0]
    return np.asarray(points / np.array([aspect, 1.0]), np.float32)


@lru_cache(maxsize=1)
def below_mouth() -> BoolArray:
    """Return a mask of the points that move with the jaw, shape (M,): those lower than the corners of the mouth."""
    return np.asarray(LOWER_FACE[:, 1] > _SIDE[_CORNER, 1])


@lru_cache(maxsize=1)
def outer_lips() -> I64Array:
    """Return the numbers of the points along the edge of the lips."""
    side, middle = len(_SIDE), len(_MIDDLE)
    lip = np.arange(_CORNER, _CHEEK)
    return np.concatenate([lip, [side + _UPPER, side + _LOWER], side + middle + lip])


@lru_cache(maxsize=1)
def jaw_shares() -> F64Array:
    """Return the shares of a chin's motion that points follow when a jaw opens, shape (M,): 0 above the mouth."""
    corner, chin = _SIDE[_CORNER, 1], _MIDDLE[-1, 1]
    return np.clip((LOWER_FACE[:, 1] - corner) / (chin - corner), 0, 1)


@lru_cache(maxsize=1)
def chin_arc() -> I64Array:
    """Return the numbers of the points along a chin's edge from left to right, shape (K,)."""
    side, middle = len(_SIDE), len(_MIDDLE)
    left = np.flatnonzero(jaw_shares()[:_OUTLINE] > _ON_CHIN)
    return np.concatenate([left, [side + middle - 1], (side + middle + left)[::-1]])


def inside(points: F32Array) -> F64Array:
    """Return a place in the lower face that lies inside of it from all sides: between the mouth and the jaw's middle.

    Args:
        points: Of the mesh, shape (M, 2).
    """
    return np.asarray(_inner_weights() @ points, np.float64)


@lru_cache(maxsize=1)
def _inner_weights() -> F64Array:
    side, middle = len(_SIDE), len(_MIDDLE)
    lips = [_CORNER, side + _UPPER, side + _LOWER, side + middle + _CORNER]
    weights = np.full(len(LOWER_FACE), 0.5 / len(LOWER_FACE))
    weights[lips] += 0.5 / len(lips)
    return weights


def axes(points: F32Array | F64Array) -> F64Array:
    """Return the directions of a head as they are seen: right, down and towards the viewer, in distances of its eyes.

    Args:
        points: Of the mesh, shape (M, 2).

    Returns:
        Shape (3, 2); the last one is as long as the head is turned away, and points to where its profile is.
    """
    found = _from_points() @ points
    lengths = (found[:2] * found[:2]).sum(axis=1)
    return np.asarray(found[:3] / np.sqrt(lengths.max()), np.float64)


@lru_cache(maxsize=1)
def _from_points() -> F64Array:
    return np.asarray(np.linalg.pinv(np.column_stack([LOWER_FACE, np.ones(len(LOWER_FACE))])), np.float64)
