"""What comes in front of a lower face for a moment."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lipwise_ray.lipsync.align import TEMPLATE
from lipwise_ray.lipsync.covered import REACH, STEP, VIEW_PX, FilmedFace, covered, filmed_face
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, F32Array, Size

SIDE = 320
SPEC = ClipSpec(size=Size(SIDE, SIDE))
SHAPE = planar_format("yuv444p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
FIVE = (TEMPLATE * SIDE / 512).astype(np.float32)


def _bgr(blue: float, green: float, red: float) -> F32Array:
    return np.array([blue, green, red], np.float32)


SKIN = _bgr(0.45, 0.55, 0.75)
HAND, MICROPHONE = np.float32(0.65) * SKIN, _bgr(0.08, 0.08, 0.09)
PLACES = tuple(range(-REACH, REACH + 1, STEP))
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] + 0.5
MOUTH = tuple(float(value) for value in FIVE[3:].mean(axis=0))
WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


def _skin(seed: int = 0) -> F32Array:
    """Return a face without features: skin with spots, and the mouth a dark line."""
    spots = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    image = SKIN * (1 + 0.5 * cv2.GaussianBlur(spots, (0, 0), 6)[..., None])
    return np.asarray(image, np.float32)


def _with(image: F32Array, colour: F32Array, x: float, y: float, wide: float, high: float) -> F32Array:
    inside = ((COLUMNS - x) / wide) ** 2 + ((ROWS - y) / high) ** 2 < 1
    return np.where(inside[..., None], colour, image).astype(np.float32)


def _filmed(image: F32Array, source: int = 0) -> FilmedFace:
    frame = draw_frame(replace(SPEC, pixel_format="yuv444p"), 0)
    write_region(frame, CANVAS, WHOLE, np.clip(image, 0, 1), None)
    return filmed_face(frame, CANVAS, FIVE, 0, source)


def _found(now: F32Array, around: list[F32Array]) -> F32Array:
    """Return what is found in the middle one of frames."""
    faces = [_filmed(image) for image in around]
    here = _filmed(now)
    middle = len(faces) // 2
    return covered(here, [*faces[:middle], here, *faces[middle:]])


USUAL = [_with(_skin(), _bgr(0.1, 0.1, 0.3), MOUTH[0], MOUTH[1], 50, 3) for _ in PLACES[1:]]


@pytest.mark.parametrize(("colour", "least"), [(HAND, 0.7), (MICROPHONE, 0.8)])
def test_what_covers_a_cheek_is_found(colour: F32Array, least: float) -> None:
    """A hand or a microphone beside the mouth, and not much of what it leaves free."""
    x, y = MOUTH[0] + 50, MOUTH[1] + 25
    found = _found(_with(USUAL[0], colour, x, y, 34, 34), USUAL)
    to_view = _filmed(USUAL[0])
    at = np.array([x, y])
    linear = np.linalg.inv(to_view.to_shown[:, :2])
    centre, radius = linear @ (at - to_view.to_shown[:, 2]), 34 * float(np.sqrt(abs(np.linalg.det(linear))))
    rows, columns = np.mgrid[:VIEW_PX, :VIEW_PX] + 0.5
    thing = np.hypot(columns - centre[0], rows - centre[1]) < radius
    on_face = to_view.opacity > 0.5
    is_found = found > 0.5
    assert is_found[thing & on_face].mean() > least
    assert (thing & is_found).sum() > 0.6 * is_found.sum()
    assert found.max() <= 1


@pytest.mark.parametrize("high", [8, 14, 20, 24])
def test_a_mouth_that_opens_is_not(high: int) -> None:
    """However wide, with teeth or dark."""
    for colour in (_bgr(0.1, 0.1, 0.3), _bgr(0.9, 0.9, 0.95)):
        assert not _found(_with(_skin(), colour, MOUTH[0], MOUTH[1] + high - 6, 40, high), USUAL).any()


def test_other_light_is_not() -> None:
    """A flash, or a lamp of another colour, changes all of a face."""
    for light in (_bgr(0.6, 0.6, 0.6), _bgr(1.25, 1.25, 1.25), _bgr(1.2, 1.0, 0.85)):
        assert not _found(USUAL[0] * light, USUAL).any()


def test_a_face_that_moves_is_not() -> None:
    """Points err by a pixel or two, and skin has spots."""
    for right, down in ((3, 0), (0, 4), (-4, 2)):
        assert not _found(np.roll(USUAL[0], (down, right), axis=(0, 1)), USUAL).any()


def test_what_stays_is_taken_for_the_face() -> None:
    """What is there in most of the frames around cannot be told from a beard."""
    with_beard = [_with(one, MICROPHONE, MOUTH[0] + 50, MOUTH[1] + 25, 30, 30) for one in USUAL]
    assert not _found(with_beard[0], with_beard).any()
    assert not _found(with_beard[0], [*with_beard[:4], *USUAL[:4]]).any()


def test_too_little_to_compare_tells_nothing() -> None:
    """At the ends of a shot there are frames on one side only; with fewer, or far turned, nothing is said."""
    here = _filmed(_with(USUAL[0], MICROPHONE, MOUTH[0] + 50, MOUTH[1] + 25, 34, 34))
    around = [_filmed(one) for one in USUAL]
    assert covered(here, [here, *around[:4]]).any()
    assert not covered(here, [here, *around[:3]]).any()
    assert not covered(replace(here, yaw=60.0), [here, *around]).any()
    far = replace(here, points=here.points + np.array([8.0, 0.0]))
    assert not covered(far, [far, *around]).any()
