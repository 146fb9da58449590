"""Where jaws end, filmed and new."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.faces.landmarker import FaceView, face_view
from lipwise_ray.faces.lower_face import LOWER_FACE, below_mouth, typical_lower_face
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.lipsync.compose import jaw_mask, lower_face
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.jaw import JAW_RADIUS, Jaw, Jaws
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.restoration import Patch
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas, box_to_shown
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, F32Array, Size
from tests.support.boxes import turned

SPEC = ClipSpec(size=Size(320, 320))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
FIVE = turned(15.0)
VIEW = FaceView(4.2, (0.0, -0.28, -0.35))
EYES_PX = 64 / 4.2
BOX = np.array([130, 120, 270, 280], np.float32)
FACE = Blend("face", 0.1, "cubic", match_light=True, linear_light=False, grain=False, align=False)


class Scripted:
    """Sees a typical face whose jaw hangs the lower the brighter the view is."""

    size_px = 64
    view = VIEW

    def __init__(self, lower: float = 0.0, off: float = 0.0, *, is_there: bool = True) -> None:
        self.lower, self.off, self.is_there = lower, off, is_there

    def __call__(self, view_bgr: F32Array) -> F32Array | None:
        to_view = inverse(face_view(VIEW, FIVE, self.size_px))
        points = typical_lower_face(FIVE) @ to_view[:, :2].T + to_view[:, 2] + self.off * EYES_PX
        points[below_mouth(), 1] += self.lower * EYES_PX * float(view_bgr.mean())
        return points.astype(np.float32) if self.is_there else None


def _measured(landmarker: Scripted | None, new: float) -> Jaw:
    image = np.full((96, 96, 3), new, np.float32)
    patch = Patch(image, np.ones((96, 96), np.float32), box_to_shown(BOX, 96))
    return Jaws(landmarker, CANVAS, "cubic").measure(draw_frame(SPEC, 0), FIVE, image, patch)


def _typical() -> F32Array:
    to_view = inverse(face_view(VIEW, FIVE, 1))
    return typical_lower_face(FIVE) @ to_view[:, :2].T + to_view[:, 2]


@pytest.mark.parametrize("yaw", [-60.0, 0.0, 40.0])
@pytest.mark.parametrize("roll", [-90.0, 0.0, 25.0])
def test_a_head_is_upright_in_its_view(yaw: float, roll: float) -> None:
    """And in the middle, at one size, whatever the size of the image, and also where pixels are not square."""
    for times in (0.4, 5.0):
        five = turned(yaw, roll) * np.float32(times)
        for aspect in (1.0, 1.5):
            shown = five / np.float32([aspect, 1])
            to_view = inverse(face_view(VIEW, shown, 256, aspect))
            here = shown @ to_view[:, :2].T + to_view[:, 2]
            down = (here[3] + here[4]) / 2 - (here[0] + here[1]) / 2
            assert abs(down[0]) < 0.25 * down[1]
            assert down[1] == pytest.approx(256 / 4.2, rel=0.2)
            assert np.abs(here.mean(axis=0) - 128).max() < 40


def test_the_lower_of_filmed_and_new_jaw_counts() -> None:
    """A new jaw that hangs lower takes the mask along; one that is higher leaves it where the filmed one is."""
    script = Scripted(lower=0.3)
    as_filmed = _measured(script, 0.0).points[below_mouth(), 1].mean()
    lower = _measured(script, 1.0).points[below_mouth(), 1].mean()
    assert lower > as_filmed + 0.02
    assert _measured(script, 1.0).moved > 0.5 > _measured(Scripted(), 1.0).moved == 0
    alike = _measured(script, 1.0).points[~below_mouth()] - _typical()[~below_mouth()]
    assert np.abs(alike).max() < 1e-6
    rising = Scripted(lower=-0.3)
    assert np.array_equal(_measured(rising, 1.0).points, _measured(rising, 0.9).points), "the filmed one counts"
    assert (
        _measured(rising, 0.0).points[below_mouth(), 1].mean() > _measured(rising, 1.0).points[below_mouth(), 1].mean()
    )


@pytest.mark.parametrize("script", [Scripted(off=0.5), Scripted(is_there=False)])
def test_what_is_not_this_face_is_not_trusted(script: Scripted) -> None:
    """Where a network sees no face, or outlines another, a typical one takes its place."""
    jaw = _measured(script, 0.5)
    assert jaw.trust == 0
    assert np.allclose(jaw.points, _typical(), atol=1e-6)


def test_jaws_are_smoothed_over_time() -> None:
    """Near frames count for more; points of a typical face come out where the five points have them."""
    jaws = Jaws(Scripted(), CANVAS, "cubic")
    typical = _typical()
    shifted = [
        (distance, Jaw(typical + np.array([0, 0.01 * distance]), 0.5))
        for distance in range(-JAW_RADIUS, JAW_RADIUS + 1)
    ]
    points, trust, _ = jaws.shown(shifted, FIVE)
    assert trust == 0.5
    assert np.allclose(points, typical_lower_face(FIVE), atol=1e-2)
    one_sided, _, _ = jaws.shown(shifted[JAW_RADIUS:], FIVE)
    assert one_sided[:, 1].mean() > points[:, 1].mean()


def test_a_mask_that_is_trusted_reaches_the_edge() -> None:
    """A typical face that is turned tells less, so its mask keeps inside."""
    to_shown = box_to_shown(BOX, 96)
    five = turned(40.0)
    points = typical_lower_face(five)
    seen, typical = jaw_mask(points, to_shown, 96, 1.0), lower_face(five, to_shown, 96)
    assert (seen >= typical - 1e-6).all()
    assert seen.sum() > 1.05 * typical.sum()


class Darker(Passthrough):
    """A network that changes every face."""

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        return faces_bgr * np.float32(0.6)


def _rendered(first: int, stop: int, script: Scripted | None) -> list[np.ndarray]:
    """Return the luma of frames that are rendered as one chunk."""
    renderer = Renderer(Darker(96, 4), CANVAS, FACE, landmarker=script)
    around = renderer.reach.seen

    def jobs() -> object:
        for number in range(max(0, first - around), min(24, stop + around)):
            frame = draw_frame(SPEC, number)
            plane_array(frame, 0)[:] //= 1 + number % 3
            target = FaceTarget(0, BOX, FIVE, np.zeros((80, 16), np.float32))
            yield FrameJob(frame, (target,), source=number, outside=max(first - number, number - stop + 1, 0))

    return [plane_array(frame, 0).copy() for frame in renderer.render(jobs())]


def test_chunks_do_not_show() -> None:
    """Jaws and light are smoothed over frames of the chunks beside."""
    script = Scripted(lower=0.3)
    whole = _rendered(0, 24, script)
    parts = [*_rendered(0, 7, script), *_rendered(7, 15, script), *_rendered(15, 24, script)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(whole, _rendered(0, 24, None), strict=True))


def test_the_mesh_has_one_side_and_the_other() -> None:
    """It is symmetric, and its parts below the mouth are those that move with the jaw."""
    side = LOWER_FACE[:28]
    assert np.allclose(LOWER_FACE[-28:] * [-1, 1, 1], side)
    assert 0.3 < below_mouth().mean() < 0.7
