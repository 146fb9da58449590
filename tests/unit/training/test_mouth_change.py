"""How much a mouth changes: photographs, cameras that move, light, and mouths that open."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.mouth_change import mouth_change

SIDE = 96


def _face(opened_px: int = 3) -> Any:
    """Return a drawn face: skin with grain, eyes, and a mouth."""
    grain = np.random.default_rng(0).normal(0, 2, (SIDE, SIDE))
    face = (160 + grain).astype(np.float32)
    for x in (30, 66):
        cv2.ellipse(face, (x, 38), (8, 4), 0, 0, 360, 60, -1)
    cv2.ellipse(face, (48, 72), (14, opened_px), 0, 0, 360, 70, -1)
    return face


def test_a_photograph_has_a_still_mouth() -> None:
    """Under a camera that shakes and lights that change, too; a mouth that opens is far from it."""
    shaken = [
        cv2.warpAffine(
            _face(), np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]]), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE
        )
        for dx, dy in ((0, 0), (2.5, 1), (-3, 2))
    ]
    lit = [0.6 * _face() + 20, _face(), 1.3 * _face() - 30]
    assert mouth_change([_face()] * 3) == pytest.approx(0, abs=1e-6)
    assert mouth_change(shaken) < CurationRules().min_mouth_change
    assert mouth_change(lit) == pytest.approx(0, abs=1e-5)
    assert mouth_change([_face(opened) for opened in (2, 8, 14)]) > 4 * CurationRules().min_mouth_change


def test_a_face_of_one_frame_does_not_change() -> None:
    """Nor does a mouth without any detail, for which there is no likeness."""
    assert mouth_change([_face()]) == 0
    assert 0 <= mouth_change([np.full((SIDE, SIDE), 80, np.float32)] * 2) <= 1
