"""How sharp a mouth is, against the face around it and beside the original one."""

from __future__ import annotations

from math import exp
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.lipsync.sharpness import Sharpness, detail_of, regions_of, side_px
from lipwise_ray.pipeline.quality.face_means import sharpness_means
from lipwise_ray.state.markers import ChunkMarker

SIZES = (96, 160, 320, 480)


def _face(side: int, noise: float = 0.0) -> Any:
    """Return the luma of something like a face: soft shading, and edges as hard as a lens gives, of every direction."""
    rng = np.random.default_rng(side)
    image = np.full((4 * side, 4 * side), 120, np.float32)
    for _ in range(60):
        centre, axes = rng.uniform(0, 4 * side, 2), rng.uniform(0.02, 0.1, 2) * 4 * side
        colour, angle = float(rng.uniform(60, 200)), float(rng.uniform(0, 180))
        cv2.ellipse(image, (centre.tolist(), (2 * axes).tolist(), angle), colour, -1)
    luma = cv2.resize(cv2.GaussianBlur(image, (0, 0), 2), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(luma + noise * rng.standard_normal(luma.shape), np.float32)


def _mask(side: int = 96) -> Any:
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return np.clip(4 * (1 - np.hypot((x - 0.5) / 0.4, (y - 0.72) / 0.25)), 0, 1).astype(np.float32)


def _measured(dubbed: Any, filmed: Any) -> float:
    sums = Sharpness()
    sums.add(dubbed, filmed, _mask())
    assert sums.faces == 1
    return exp(sums.dubbed - sums.filmed)


def _blurred(luma: Any, sigma: float) -> Any:
    opacity = cv2.resize(_mask(), luma.shape[::-1])
    return luma + opacity * (cv2.GaussianBlur(luma, (0, 0), sigma) - luma)


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_blurred_mouth_is_told_at_every_size(side: int, noise: float) -> None:
    """Blurred by 1, 2 and 4 pixels it falls to 0.7 and below, further each time; as filmed it is 1."""
    filmed = _face(side, noise)
    found = [_measured(_blurred(filmed, sigma), filmed) for sigma in (1, 2, 4)]
    assert _measured(filmed, filmed) == pytest.approx(1)
    assert found[0] < 0.7
    assert found[0] > 1.3 * found[1] > 1.3 * 1.3 * found[2]


@pytest.mark.parametrize("side", SIZES)
def test_grain_does_not_pass_for_sharpness(side: int) -> None:
    """A blurred mouth to which grain was added stays soft; its texture is that of grain."""
    filmed = _face(side)
    grain = 2.5 * np.random.default_rng(1).standard_normal(filmed.shape)
    grainy = np.asarray(_blurred(filmed, 2) + cv2.resize(_mask(), filmed.shape[::-1]) * grain, np.float32)
    assert _measured(grainy, filmed) < 0.5
    regions = regions_of(_mask(), (side, side))
    assert regions is not None
    assert detail_of(grainy, regions[0]).texture > 2 * detail_of(filmed, regions[0]).texture


def test_a_sharpened_mouth_is_above_one() -> None:
    """What a restorer overdoes shows too."""
    filmed = _face(160)
    assert _measured(2 * filmed - _blurred(filmed, 1), filmed) > 1.2


def test_flat_faces_are_as_sharp_as_flat_faces() -> None:
    """Without any detail nothing is divided by nothing."""
    flat = np.full((96, 96), 90, np.float32)
    assert _measured(flat, flat) == pytest.approx(1)


def test_no_single_face_counts_for_many() -> None:
    """A ratio is cut off at 8."""
    sums = Sharpness()
    sums.add(_face(160) * 50, _face(160), _mask())
    assert exp(sums.dubbed) == pytest.approx(8)


def test_which_faces_are_measured() -> None:
    """One at its size in the frame, at most 512; none that is small or fades."""
    place = np.array([[2.0, 0, 10], [0, 2.0, 10]])
    assert side_px(96, place, 1.0) == 192
    assert side_px(96, 10 * place, 1.0) == 512
    assert side_px(96, 0.3 * place, 1.0) == 0
    assert side_px(96, place, 0.5) == 0


def test_a_crop_without_a_mouth_in_it_is_not_measured() -> None:
    """A mask that something hides leaves nothing to tell; without a mask the lower half is the mouth's."""
    assert regions_of(np.zeros((96, 96), np.float32), (128, 128)) is None
    regions = regions_of(None, (128, 96))
    assert regions is not None
    assert not (regions[0] & regions[1]).any()


def test_chunks_add_up() -> None:
    """A video's figures are geometric means over its faces; chunks left as they were have none."""
    facts: dict[str, Any] = {"frames": 1, "reorder": 0, "bytes_total": 1, "sha256": "0" * 64, "crc": 0, "header": 0}
    facts |= {"segment": "s", "made_by": "x", "attempt": "a", "seconds": 1.0, "stages": {}}
    logs = [[np.log(0.5), 0.0, 0.0, 0.0, 1], [2 * np.log(0.25), 2 * np.log(2), 0.0, 0.0, 2], []]
    found = sharpness_means([ChunkMarker(**facts, sharpness=one) for one in logs])
    assert found.faces == 3
    assert found.dubbed == pytest.approx((0.5 * 0.25**2) ** (1 / 3), abs=1e-4)
    assert found.sharpness == pytest.approx(found.dubbed / found.filmed, abs=1e-3)  # type: ignore[operator]
    assert sharpness_means([ChunkMarker(**facts)]).sharpness is None
