"""Masks, light and alignment of a new face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipwise_ray.faces.lower_face import triangles, typical_lower_face
from lipwise_ray.lipsync.align import TEMPLATE, aligned_to_shown, between, roll_degrees
from lipwise_ray.lipsync.compose import light_shifts, lower_face, paste_mask, relit, with_colours_of
from lipwise_ray.media.region import box_to_shown
from tests.support.boxes import turned


def _points(turn: float = 0.0, scale: float = 0.4, x: float = 120.0, y: float = 90.0) -> np.ndarray:
    """Return the template's points on a face that leans, shape (5, 2)."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return ((TEMPLATE - 256) * scale @ np.array([[cos, sin], [-sin, cos]]) + [x, y]).astype(np.float32)


@pytest.mark.parametrize(("turn", "scale"), [(0, 0.4), (25, 0.7), (-40, 0.2)])
def test_alignment_finds_the_similarity(turn: float, scale: float) -> None:
    """Points of a face that was turned, scaled and moved map back to the template exactly."""
    points = _points(turn, scale)
    to_shown = aligned_to_shown(points, 512)
    assert np.allclose(TEMPLATE @ to_shown[:, :2].T + to_shown[:, 2], points, atol=1e-3)
    assert np.allclose(between(to_shown, to_shown), [[1, 0, 0], [0, 1, 0]], atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 30.0, -20.0])
def test_the_mask_follows_the_lower_face(turn: float) -> None:
    """Mouth and chin are in it, eyes and the crop's surroundings are not, however the head leans."""
    points = _points(turn, x=128, y=128)
    mask = lower_face(points, box_to_shown(np.array([0, 0, 256, 256]), 256), 256)

    def at(x: float, y: float) -> float:
        """Look up a place of the template."""
        to_shown = aligned_to_shown(points, 512)
        column, row = to_shown[:, :2] @ [x, y] + to_shown[:, 2]
        return float(mask[int(row), int(column)])

    assert min(at(*TEMPLATE[3]), at(*TEMPLATE[4]), at(256, 430)) > 0.95
    assert max(at(*TEMPLATE[0]), at(*TEMPLATE[1])) == 0
    assert min(at(165, 350), at(347, 350)) > 0.8, "the cheeks are in it"
    assert max(at(130, 440), at(382, 440), at(256, 490)) == 0, "what lies beside and under the chin is not"
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.2


def test_light_goes_over_into_the_surroundings() -> None:
    """A cast and a gradient of the new face are found by the skin at the mask's edge, a moved jaw notwithstanding."""
    rng = np.random.default_rng(3)
    old = np.clip(np.float32([0.45, 0.55, 0.7]) + rng.normal(0, 0.01, (96, 96, 3)), 0, 1).astype(np.float32)
    place = np.linspace(-1, 1, 96, dtype=np.float32)
    cast = np.float32([0.03, -0.02, 0.01]) + 0.02 * place[None, :, None]
    new = (old + cast).astype(np.float32)
    new[80:] = 0.1  # the jaw moved: background where skin was
    new[60:72, 38:58] = [0.1, 0.1, 0.5]  # lips
    mask = paste_mask(96, 0.1) * lower_face(_points(0, 0.19, 48, 48), box_to_shown(np.array([0, 0, 96, 96]), 96), 96)
    (shift,) = light_shifts([old], [new], mask)
    assert shift is not None
    fixed = relit(new, shift)
    skin = (mask > 0.05) & (np.arange(96)[:, None] < 58)
    assert np.abs((new - old)[skin].mean(axis=0)).max() > 0.02
    assert np.abs((fixed - old)[skin].mean(axis=0)).max() < 0.005


def test_light_is_left_alone_where_nothing_can_be_compared() -> None:
    """Without skin at the edge there is no estimate."""
    black, white = np.zeros((96, 96, 3), np.float32), np.ones((96, 96, 3), np.float32)
    assert light_shifts([black, black], [white, black], paste_mask(96, 0.1))[0] is None
    assert light_shifts([black], [black], np.zeros((96, 96), np.float32)) == [None]


def test_a_restored_face_keeps_the_colours_it_was_given() -> None:
    """A restorer's colour cast goes, its detail stays."""
    rng = np.random.default_rng(5)
    given = np.tile(np.linspace(0.3, 0.6, 512, dtype=np.float32)[:, None, None], (1, 512, 3))
    detail = cv2.GaussianBlur(rng.normal(0, 0.3, (512, 512, 3)).astype(np.float32), (0, 0), 1.5)
    restored = given + detail + np.float32([0.08, -0.05, 0.03])
    found = with_colours_of(restored, given)
    assert np.abs((found - given).mean(axis=(0, 1))).max() < 0.003
    kept = np.corrcoef((found - given).ravel(), detail.ravel())[0, 1]
    assert kept > 0.97


@pytest.mark.parametrize("aspect", [4 / 3, 64 / 45, 0.8])
def test_pixels_that_are_not_square(aspect: float) -> None:
    """A face is aligned and leans as it is seen, not as its samples are stored."""
    seen = _points(20, 0.5)
    stored = (seen / [aspect, 1]).astype(np.float32)
    to_shown = aligned_to_shown(stored, 512, aspect)
    assert np.allclose(TEMPLATE @ to_shown[:, :2].T + to_shown[:, 2], stored, atol=1e-3)
    assert roll_degrees(stored, aspect) == pytest.approx(roll_degrees(seen), abs=0.1)
    turned = box_to_shown(np.array([0, 0, 96 / aspect, 96]), 96, 30, aspect) * np.array([[aspect], [1]])
    assert np.allclose(turned[:, :2] @ turned[:, :2].T, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("yaw", [-65.0, -40.0, -15.0, 15.0, 40.0, 65.0])
def test_a_turned_heads_mask_ends_at_its_profile(yaw: float) -> None:
    """The lips are in it up to the profile, and nothing is beyond: neither of the nose, nor of the chin."""
    five = turned(yaw, side=200)
    points = typical_lower_face(five)
    to_shown = box_to_shown(np.array([100, 100, 300, 300]), 192)
    mask = lower_face(five, to_shown, 192)
    here = (points - 100) * 192 / 200
    corner, lip = here[10 if yaw > 0 else -18], here[28 + 4]  # the near corner of the mouth, the upper lip's middle
    assert mask[int(corner[1]), int(corner[0])] > 0.95
    behind = lip - [3 * np.sign(yaw), -4]
    assert mask[int(behind[1]), int(behind[0])] > 0.5
    silhouette = np.zeros((192, 192), np.uint8)
    for triangle in np.rint(here[triangles()] - 0.5).astype(np.int32):
        cv2.fillConvexPoly(silhouette, triangle, 1)
    beyond = cv2.dilate(silhouette, np.ones((3, 3), np.uint8)) == 0  # past the pixels on its edge
    assert mask[beyond].max() < 0.05
    assert (mask > 0.5).sum() > 0.4 * silhouette.sum()
