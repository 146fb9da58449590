"""Crops that lie on a face by its eyes and its nose."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.crop_alignment import three_points_to_shown

SIDE = 256
TEMPLATE = np.array([[17, 20], [58, 20], [37.5, 40]]) / (75, 100) * SIDE
"""Where the three points belong in a crop."""


def _landmarks(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.full((2, 2), 9999.0)]).astype(np.float32)


def _in_crop(landmarks: np.ndarray, aspect: float = 1.0) -> np.ndarray:
    to_shown = three_points_to_shown(landmarks, SIDE, aspect)
    return (landmarks[:3] - to_shown[:, 2]) @ np.linalg.inv(to_shown[:, :2]).T


@pytest.mark.parametrize("degrees", [0, 25, -110])
@pytest.mark.parametrize("aspect", [1.0, 4 / 3])
def test_points_come_to_lie_on_the_template(degrees: float, aspect: float) -> None:
    """A face of the template's proportions fits it exactly, wherever, however large and however leaning it is."""
    turn = np.exp(1j * np.radians(degrees)) * 1.7
    canvas = (TEMPLATE * (75, 100) / SIDE) @ np.array([1, 1j])
    seen = canvas * turn + (300 + 120j)
    landmarks = _landmarks(np.stack([seen.real / aspect, seen.imag], axis=1))
    assert np.abs(_in_crop(landmarks, aspect) - TEMPLATE).max() < 1e-3


def test_sizes_agree_by_the_deviation_of_all_points() -> None:
    """Of other faces the points' deviation from their middle is the template's, as the original scales them."""
    landmarks = _landmarks(np.array([[100.0, 100.0], [150.0, 96.0], [131.0, 140.0]]))
    canvas = _in_crop(landmarks) * (75, 100) / SIDE
    wanted = TEMPLATE * (75, 100) / SIDE
    assert canvas.mean(axis=0) == pytest.approx(wanted.mean(axis=0), abs=1e-4)
    spread = [(points - points.mean(axis=0)).std(ddof=1) for points in (canvas, wanted)]
    assert spread[0] == pytest.approx(spread[1], rel=1e-5)


def test_a_frame_tells_alone() -> None:
    """The same points give the same crop whatever came before; a hundredth of a pixel far right shows."""
    points = np.array([[5000.0, 100.0], [5050.0, 100.0], [5025.0, 125.0]])
    first = three_points_to_shown(_landmarks(points), SIDE)
    three_points_to_shown(_landmarks(points + 300), SIDE)
    assert np.array_equal(three_points_to_shown(_landmarks(points), SIDE), first)
    moved = three_points_to_shown(_landmarks(points + np.array([0.01, 0])), SIDE)
    assert moved[0, 2] - first[0, 2] == pytest.approx(0.01, abs=1e-3)
