"""Where rays from inside of a lower face leave it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy

from lipwise_ray.faces.lower_face import LOWER_FACE, inside, triangles
from lipwise_ray.faces.silhouette import reach
from lipwise_ray.values import F64Array

ANGLES, RADIUS_PX, SUBPIXEL_BITS = 64, 400, 4
RAYS = np.stack([f(2 * np.pi * np.arange(ANGLES) / ANGLES) for f in (np.cos, np.sin)], axis=1)


def _seen(yaw: float, pitch: float, roll: float) -> F64Array:
    """Return the mesh of a turned head, from the middle of the lower face, as large as the disc."""
    turn = scipy.spatial.transform.Rotation.from_euler("yxz", [yaw, pitch, roll], degrees=True).as_matrix()
    points = (LOWER_FACE @ turn.T)[:, :2]
    points = points - inside(points.astype(np.float32))
    return np.asarray(points * (RADIUS_PX - 2) / np.linalg.norm(points, axis=1).max(), np.float64)


def _painted(points: F64Array) -> F64Array:
    """Return the same by painting the triangles, and going along the rays."""
    image = np.zeros((2 * RADIUS_PX, 2 * RADIUS_PX), np.uint8)
    corners = np.rint((points + RADIUS_PX) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for triangle in corners[triangles()]:
        cv2.fillConvexPoly(image, triangle, 1, shift=SUBPIXEL_BITS)
    places = np.rint(RADIUS_PX + np.arange(RADIUS_PX)[:, None, None] * RAYS).astype(int).clip(0, 2 * RADIUS_PX - 1)
    covered = np.minimum.accumulate(image[places[..., 1], places[..., 0]], axis=0)
    return covered.sum(axis=0).astype(np.float64)


@pytest.mark.parametrize("yaw", [0, 20, -35, 50, -65, 80])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (15, -20), (-25, 10)])
def test_a_ray_ends_where_the_painted_mesh_does(yaw: float, pitch: float, roll: float) -> None:
    """In a disc of 400 pixels, also where a head is turned so far that parts of it hide others."""
    points = _seen(yaw, pitch, roll)
    off = np.abs(reach(points, RAYS) - (_painted(points) - 1))  # the middle is painted, and so are edges
    assert off.max() < 4
    assert np.quantile(off, 0.95) < 1.5


def test_rays_from_outside_have_no_reach() -> None:
    """What begins beyond the mesh is not in it at first, also where it comes through it later."""
    points = _seen(0, 0, 0)
    assert (reach(points + np.array([3.0 * RADIUS_PX, 0]), RAYS) == 0).all()
