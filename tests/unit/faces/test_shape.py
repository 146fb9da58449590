"""Five points that can be those of a face."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.faces.shape import misfit, plausibility
from tests.support.boxes import turned


@pytest.mark.parametrize("yaw", [-60, -35, 0, 35, 60])
@pytest.mark.parametrize("roll", [-90, -20, 0, 45, 180])
def test_a_head_is_plausible_from_all_sides(yaw: float, roll: float) -> None:
    """Turned to a side and leaning, of any size, in pixels that are not square too."""
    points = turned(yaw, roll)
    for times in (0.3, 1, 6):
        assert plausibility(points[None] * np.float32(times))[0] > 0.8, misfit(points[None])
    for aspect in (0.5, 1.6):
        stored = points[None] / np.array([aspect, 1.0], np.float32)
        assert plausibility(stored, aspect)[0] == pytest.approx(plausibility(points[None])[0], abs=1e-3)


def test_points_of_no_face_are_not() -> None:
    """On a line, in one place, mixed up."""
    shapes = [np.linspace(0, 100, 5)[:, None] * np.array([1.0, 0.4]), np.zeros((5, 2)), turned(0)[[2, 3, 0, 4, 1]]]
    found = plausibility(np.array(shapes, np.float32))
    assert (found < 0.2).all(), misfit(np.array(shapes, np.float32))
