"""The lower half of a head as a mesh."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Delaunay

from lipwise_ray.faces.lower_face import LOWER_FACE, axes, inside, triangles, typical_lower_face
from lipwise_ray.faces.shape import viewed, views
from tests.support.boxes import turned


def _extent(points: np.ndarray, roll: float, axis: int) -> tuple[float, float]:
    """Return the extent of points along an axis of a head that leans."""
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    upright = points @ np.array([[cos, -sin], [sin, cos]])
    return float(upright[:, axis].min()), float(upright[:, axis].max())


@pytest.mark.parametrize("roll", [0, 30, -90])
@pytest.mark.parametrize("yaw", [-60, -30, 0, 30, 60])
def test_a_typical_lower_face_is_turned_as_its_five_points_are(yaw: float, roll: float) -> None:
    """The chin is below the mouth; more of the face lies on the side from which a head is turned away."""
    five = turned(yaw, roll)
    points = typical_lower_face(five)
    eye_px = 0.38 * 100
    down = _extent(points, roll, 1)[1] - _extent(five, roll, 1)[1]
    assert 0.4 * eye_px < down < 0.9 * eye_px, "from the mouth to the chin"
    (left, right), (mouth_left, mouth_right) = _extent(points, roll, 0), _extent(five[3:], roll, 0)
    mouth = (mouth_left + mouth_right) / 2
    beside = np.array([mouth - left, right - mouth]) / eye_px
    assert beside.min() > 0.2
    if yaw:
        assert np.sign(beside[0] - beside[1]) == np.sign(yaw)
    else:
        assert beside[0] == pytest.approx(beside[1], abs=1e-3)


@pytest.mark.parametrize("yaw", [-60, 0, 45])
def test_the_axes_of_a_mesh_are_the_heads(yaw: float) -> None:
    """Right, down and to the viewer, as far as each is seen; however large the face is."""
    for side in (40.0, 700.0):
        right, down, front = axes(typical_lower_face(turned(yaw, side=side)))
        assert np.allclose(np.linalg.norm(down), 1, atol=0.15)
        assert np.linalg.norm(right) <= 1 + 1e-9
        assert yaw * front[0] >= 0
        assert np.linalg.norm(front) == pytest.approx(abs(np.sin(np.radians(yaw))), abs=0.2)


@pytest.mark.parametrize("yaw", [-70, -35, 0, 35, 70])
def test_the_middle_lies_inside(yaw: float) -> None:
    """Also of a profile: some triangle of the mesh covers it."""
    points = typical_lower_face(turned(yaw)).astype(np.float64)
    a, b, c = points[triangles()].transpose(1, 0, 2)
    at = inside(points)
    edges = [(q - p, at - p) for p, q in ((a, b), (b, c), (c, a))]
    sides = np.stack([u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] for u, v in edges])
    assert ((sides >= 0).all(axis=0) | (sides <= 0).all(axis=0)).any()


def test_the_triangles_are_those_of_the_points() -> None:
    """Who changes a point of the mesh is told that the triangles, which are written down, are others."""
    assert np.array_equal(triangles(), Delaunay(LOWER_FACE[:, :2]).simplices)


def test_pixels_that_are_not_square() -> None:
    """A face is turned as it is seen, not as it is stored."""
    five = turned(25)
    squeezed = five * np.float32([0.5, 1])
    assert np.allclose(typical_lower_face(squeezed, 2.0) * [2, 1], typical_lower_face(five), atol=1e-3)


def test_a_view_maps_the_heads_points() -> None:
    """What is seen of a head is found again, whatever its size and where it is."""
    five = turned(20, 10)
    seen = views(np.stack([five, five * 3 + 50]))
    there = viewed(seen, LOWER_FACE)
    assert np.allclose(there[1], there[0] * 3 + 50, atol=1e-6)
