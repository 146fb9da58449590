"""What every implementation of `Lights` does, and that they do the same."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.compose import paste_mask
from lipwise_ray.lipsync.device_light import DeviceLights
from lipwise_ray.lipsync.light import FacePair, HostLights, Lights
from lipwise_ray.media.planes import HostImage

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EVERY: list[Lights] = [HostLights(), *map(DeviceLights, DEVICES)]
SIDE_PX = 96


def _pair(seed: int, *, apart: float = 0.08, slope: float = 0.05) -> FacePair:
    """A face, and it again in another light, with a jaw that moved, noise, and a mouth that is another one."""
    rng = np.random.default_rng(seed)
    skin = cv2.resize(rng.random((4, 4, 3)).astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    old = 0.5 + 0.1 * (skin - 0.5) + 0.01 * rng.standard_normal(skin.shape)
    place = np.linspace(-1, 1, SIDE_PX)
    new = old - apart * np.array([1, 0.5, -0.3]) - slope * place[:, None, None] + 0.01 * rng.standard_normal(skin.shape)
    new[60:80, 30:66] = rng.random((20, 36, 3)) * 0.4
    old[86:] = 0.1
    old, new = (np.clip(one, 0, 1).astype(np.float32) for one in (old, new))
    return FacePair(HostImage(old), HostImage(new), paste_mask(SIDE_PX, 0.12))


def _unlike() -> list[FacePair]:
    """Pairs that cannot be compared: no mask, a mask without an edge, skin of another colour, a patchwork."""
    usual, far = _pair(3), _pair(4, apart=0.4)
    noise = HostImage(np.random.default_rng(9).random((SIDE_PX, SIDE_PX, 3)).astype(np.float32))
    flat = [np.full((SIDE_PX, SIDE_PX), value, np.float32) for value in (0, 1)]
    return [*(FacePair(usual.old, usual.new, mask) for mask in flat), far, FacePair(noise, usual.new, usual.mask)]


PAIRS = [*(_pair(seed) for seed in range(5)), *_unlike()]


@pytest.mark.parametrize("lights", EVERY[1:])
def test_light_is_found_alike(lights: Lights) -> None:
    """The same shifts, to a ten-thousandth, and none for the same faces."""
    expected, found = HostLights().shifts(PAIRS), lights.shifts(PAIRS)
    assert [one is None for one in expected] == [one is None for one in found]
    assert sum(one is None for one in expected) >= 3
    for one, other in zip(expected, found, strict=True):
        assert one is other or np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-4
    assert lights.shifts([]) == []


@pytest.mark.parametrize("lights", EVERY)
def test_light_is_what_was_taken_away(lights: Lights) -> None:
    """The shift is the one by which the new face is darker, whatever its mouth does; added, skin looks the same."""
    (shift,) = lights.shifts([_pair(1)])
    assert shift is not None
    assert shift[:, 0] == pytest.approx(0.08 * np.array([1, 0.5, -0.3]), abs=0.012)
    (image,) = lights.relit([_pair(1).new], [shift])
    cheeks = slice(40, 48)
    assert np.abs(image.host()[cheeks].mean(axis=(0, 1)) - _pair(1).old.host()[cheeks].mean(axis=(0, 1))).max() < 0.02


@pytest.mark.parametrize("lights", EVERY)
def test_a_face_does_not_depend_on_those_beside_it(lights: Lights) -> None:
    """Alone or with others, in any order, its light is the same, to the bit."""
    together = lights.shifts(PAIRS)
    alone = [lights.shifts([pair])[0] for pair in reversed(PAIRS)][::-1]
    for one, other in zip(together, alone, strict=True):
        assert one is other or np.array_equal(np.asarray(one), np.asarray(other))
    known: list[Any] = [(pair.new, shift) for pair, shift in zip(PAIRS, together, strict=True) if shift is not None]
    images = lights.relit([face for face, _ in known], [shift for _, shift in known])
    for (face, shift), image in zip(known, images, strict=True):
        assert np.array_equal(lights.relit([face], [shift])[0].host(), image.host())


@pytest.mark.parametrize("lights", EVERY[1:])
def test_light_is_given_alike(lights: Lights) -> None:
    """Faces with the same shifts look the same, to a thousandth of a level, and stay in range."""
    faces = [pair.new for pair in PAIRS]
    shifts = list(np.random.default_rng(5).uniform(-0.2, 0.2, (len(faces), 3, 3)).astype(np.float32))
    for one, other in zip(HostLights().relit(faces, shifts), lights.relit(faces, shifts), strict=True):
        assert np.abs(one.host() - other.host()).max() < 1e-5
        assert 0 <= other.host().min() <= other.host().max() <= 1
