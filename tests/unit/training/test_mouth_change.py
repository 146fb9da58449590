"""How much a mouth changes: photographs, cameras that move, light, and mouths that open."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.mouth_change import face_view, mouth_change

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


@pytest.mark.parametrize("aspect", [1.0, 1.5])
@pytest.mark.parametrize("roll", [-40.0, -20.0, 20.0, 40.0])
def test_a_head_tilted_to_a_side_is_no_photograph(roll: float, aspect: float) -> None:
    """The mouth of one that speaks changes as it does upright, and that of a photograph does not."""
    points = np.array([[30, 38, 1], [66, 38, 1], [48, 56, 1], [36, 72, 1], [60, 72, 1]], np.float32)

    def tilted(opened_px: int, degrees: float) -> Any:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[cos / aspect, -sin / aspect], [sin, cos]])
        to_image = np.column_stack([turn, np.array([100.0, 100.0]) - turn @ np.array([48.0, 48.0])])
        image = cv2.warpAffine(_face(opened_px), to_image, (200, 200), borderMode=cv2.BORDER_REPLICATE)
        landmarks = (points @ to_image.T).astype(np.float32)
        half = np.array([SIDE / 2 / aspect, SIDE / 2])
        box = np.concatenate([100 - half, 100 + half]).astype(np.float32)
        view = face_view(box, landmarks, SIDE, degrees, aspect)
        return cv2.warpAffine(image, view, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    speaking = [mouth_change([tilted(opened, degrees) for opened in (2, 8, 14)]) for degrees in (0.0, roll)]
    assert speaking[1] == pytest.approx(speaking[0], rel=0.2)
    assert speaking[1] > 4 * CurationRules().min_mouth_change
    assert mouth_change([tilted(3, roll)] * 3) == pytest.approx(0, abs=1e-4)


def test_a_face_of_one_frame_does_not_change() -> None:
    """Nor does a mouth without any detail, for which there is no likeness."""
    assert mouth_change([_face()]) == 0
    assert 0 <= mouth_change([np.full((SIDE, SIDE), 80, np.float32)] * 2) <= 1
