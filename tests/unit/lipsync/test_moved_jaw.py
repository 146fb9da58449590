"""How far a jaw moved from a filmed face to the new one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.faces.lower_face import LOWER_FACE, chin_arc, jaw_shares, triangles, typical_lower_face
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.lipsync.compose import jaw_mask, lower_face
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.jaw import Jaw, Jaws
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.moved_jaw import jaw_motion
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.restoration import Patch
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas, box_to_shown, read_region
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, F32Array, Size
from tests.support.boxes import turned

SIDE_PX, EYES_PX = 320, 38.0
SPEC = replace(ClipSpec(size=Size(SIDE_PX, SIDE_PX)), pixel_format="yuv444p")
SHAPE = planar_format("yuv444p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
BOX = np.array([120, 110, 280, 290], np.float32)
TO_SHOWN = box_to_shown(BOX, 96)
SKIN, NECK = np.array([0.45, 0.55, 0.75], np.float32), np.array([0.30, 0.38, 0.55], np.float32)
CHIN = int(chin_arc()[len(chin_arc()) // 2])


def _face(five: F32Array, lower: float) -> F32Array:
    """Return a crop of skin before a neck: a face whose chin is so much lower than a typical one's."""
    to_crop = inverse(TO_SHOWN)
    down = (five[3] + five[4] - five[0] - five[1]) / 2
    shift = (down / np.linalg.norm(down) * lower * EYES_PX)[None] * jaw_shares()[:, None]
    points = (typical_lower_face(five) + shift) @ to_crop[:, :2].T + to_crop[:, 2]
    shape = np.zeros((96, 96), np.uint8)
    for triangle in np.rint((points[triangles()] - 0.5) * 16).astype(np.int32):
        cv2.fillConvexPoly(shape, triangle, 1, lineType=cv2.LINE_8, shift=4)
    return np.where(shape[..., None] > 0, SKIN, NECK).astype(np.float32)


@pytest.mark.parametrize(("yaw", "roll"), [(0, 0), (20, 0), (-15, 30)])
@pytest.mark.parametrize(("filmed", "new"), [(0.0, 0.2), (0.25, 0.05), (-0.1, 0.1), (0.15, 0.3)])
def test_the_lower_of_two_chins_is_found(yaw: float, roll: float, filmed: float, new: float) -> None:
    """Whichever is lower, and by how much they are apart; what lies above the mouth stays."""
    five = turned(yaw, roll)
    motion = jaw_motion(five, _face(five, filmed), _face(five, new), TO_SHOWN)
    assert motion is not None
    assert motion.lower[CHIN] == pytest.approx(max(filmed, new), abs=0.06)
    assert motion.by == pytest.approx(abs(new - filmed), abs=0.08)
    assert not motion.lower[LOWER_FACE[:, 1] < 0.4].any()


def test_what_is_no_jaw_is_not_taken_for_one() -> None:
    """Neither the same face, nor other light on it, nor a mouth that opens, nor a neck that the network got wrong."""
    five = turned(0.0)
    face = _face(five, 0.05)
    assert jaw_motion(five, face, face, TO_SHOWN) is None
    assert jaw_motion(five, face, face * np.array([1.1, 1.15, 1.2], np.float32), TO_SHOWN) is None
    open_mouth, (x, y) = face.copy(), (five[3:].mean(axis=0) - BOX[:2]) * 96 / (BOX[2:] - BOX[:2])
    cv2.ellipse(open_mouth, ((float(x), float(y)), (22, 9), 0), (0.1, 0.1, 0.3), -1)
    assert jaw_motion(five, face, open_mouth, TO_SHOWN) is None
    is_neck = (face == NECK).all(axis=2)
    wrong = np.where(is_neck[..., None], np.array([0.7, 0.7, 0.7], np.float32), face).astype(np.float32)
    assert jaw_motion(five, face, wrong, TO_SHOWN) is None


def test_a_mask_hides_both_chins() -> None:
    """Between the filmed and the new chin only the new face is seen, and the mask ends soon after."""
    five = turned(0.0)
    filmed, new = _face(five, 0.25), _face(five, 0.0)
    for before, after in ((filmed, new), (new, filmed)):
        jaws = Jaws(None, CANVAS, "cubic")
        jaw = jaws.measure(draw_frame(SPEC, 0), five, before, Patch(after, None, TO_SHOWN))
        points, trust, moved = jaws.shown([(0, jaw)], five)
        assert trust == 0
        assert moved == 1
        mask = jaw_mask(points, TO_SHOWN, 96, trust, moved)
        changed = np.abs(before - after).max(axis=2) > 0.05
        changed[: int(changed.nonzero()[0].max()) - 6] = False  # the chin; sides end on the cheeks
        assert mask[changed].mean() > 0.9
        assert lower_face(five, TO_SHOWN, 96)[changed].mean() < 0.2
        assert mask[int(changed.nonzero()[0].max()) + 8 :].max() < 0.02


class Chin(Passthrough):
    """A network whose face has its chin where it is told."""

    def __init__(self, face: F32Array) -> None:
        super().__init__(96, 1)
        self._face = face

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        return np.repeat(self._face[None], len(faces_bgr), axis=0)


@pytest.mark.parametrize(("filmed", "new"), [(0.0, 0.25), (0.25, 0.0)])
def test_a_rendered_jaw_is_the_new_one(filmed: float, new: float) -> None:
    """Without a landmarker too: a chin that sinks is not cut off, and one that rises leaves none behind."""
    five = turned(0.0)
    frame = draw_frame(SPEC, 0)
    write_region(frame, CANVAS, TO_SHOWN, _face(five, filmed), None)
    blend = Blend("face", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)
    job = FrameJob(frame, (FaceTarget(0, BOX, five, np.zeros((80, 16), np.float32)),))
    face = _face(five, new)
    (rendered,) = Renderer(Chin(face), CANVAS, blend).render(iter([job]))
    seen = read_region(rendered, CANVAS, TO_SHOWN, 96)
    chin = np.abs(_face(five, filmed) - face).max(axis=2) > 0.05
    chin[: int(chin.nonzero()[0].max()) - 6] = False
    assert np.abs(seen - face)[chin].mean() < 0.03


class Dark:
    """Finds what is dark in front of faces."""

    size_px, batch_faces = 128, 1

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        return np.stack(
            [1 - cv2.dilate((face.max(axis=-1) < 0.2).astype(np.float32), np.ones((5, 5))) for face in faces_bgr]
        )


@pytest.mark.parametrize(("maskers", "moved"), [([], 1.0), ([Dark()], 0.0)])
def test_what_is_held_before_a_chin_is_no_jaw(
    maskers: list[Dark], moved: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network paints over it; where an occluder finds it, that tells nothing of the jaw."""
    five, measured = turned(0.0), list[Jaw]()
    measure = Jaws.measure

    def noted(*of: Any) -> Jaw:
        measured.append(measure(*of))
        return measured[-1]

    monkeypatch.setattr(Jaws, "measure", noted)
    face = _face(five, 0.0)
    is_thing = (_face(five, 0.25) != face).any(axis=2, keepdims=True)
    frame = draw_frame(SPEC, 0)
    write_region(frame, CANVAS, TO_SHOWN, np.where(is_thing, np.float32(0.02), face), None)
    blend = Blend("face", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)
    job = FrameJob(frame, (FaceTarget(0, BOX, five, np.zeros((80, 16), np.float32)),))
    list(Renderer(Chin(face), CANVAS, blend, maskers=maskers).render(iter([job])))
    assert [jaw.moved for jaw in measured] == [moved]
