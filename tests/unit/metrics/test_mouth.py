"""Drawn mouths beside true ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipwise_ray.metrics.mouth import mouth_likeness
from lipwise_ray.values import U8Array

OPENINGS = 0.5 + 0.5 * np.sin(np.linspace(0, 9, 24))


def faces(openings: np.ndarray, blur: float = 0.0) -> dict[int, U8Array]:
    """Draw a face whose mouth opens as told, softened by `blur` pixels."""
    found: dict[int, U8Array] = {}
    for number, opening in enumerate(openings):
        face = np.full((96, 96, 3), 180, np.uint8)
        cv2.ellipse(face, (48, 72), (16, 1 + round(10 * float(opening))), 0, 0, 360, (40, 30, 90), -1)
        found[number] = cv2.GaussianBlur(face, (0, 0), blur) if blur else face
    return found


def test_a_mouth_is_like_itself_and_a_soft_one_keeps_its_shape() -> None:
    """Shape goes by the movement, sharpness by the edges."""
    true = faces(OPENINGS)
    same, soft = mouth_likeness(true, true), mouth_likeness(faces(OPENINGS, blur=2.5), true)
    assert same.shape == pytest.approx(1)
    assert same.sharpness == pytest.approx(1)
    assert soft.shape is not None
    assert soft.sharpness is not None
    assert soft.shape > 0.9
    assert soft.sharpness < 0.5


def test_a_mouth_that_says_something_else_is_told() -> None:
    """One that opens when the true one shuts is opposite, and a still one has no shape at all."""
    true = faces(OPENINGS)
    other = mouth_likeness(faces(1 - OPENINGS), true).shape
    assert other is not None
    assert other < -0.5
    assert mouth_likeness(faces(np.full(24, 0.5)), true).shape is None


def test_nothing_is_said_of_videos_without_a_common_frame() -> None:
    """Frames are compared at equal times only."""
    likeness = mouth_likeness({}, faces(OPENINGS))
    assert likeness.shape is None
    assert likeness.sharpness is None
