"""New faces of which a restored one would show nothing: small ones, and those that are covered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.picture import MIN_RESTORED_PX
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(320, 240))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
SOFT = Blend("soft", 0.1, "cubic", match_light=False, linear_light=True, grain=False, align=False)
MEL = np.zeros((80, 16), np.float32)
POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32)
SMALL, LARGE = (20, 100, 60, 140), (120, 40, 300, 220)


class Negative:
    """A restorer that nobody can overlook; it counts the faces that are not empty."""

    size_px, scale, batch_faces, space = 64, 1, 2, "crop"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, faces_bgr: Any) -> Any:
        self.seen += sum(bool(face.any()) for face in faces_bgr)
        return 1 - faces_bgr


class Hidden:
    """Says that something is in front of all of every face."""

    size_px, batch_faces = 32, 2

    def __call__(self, faces_bgr: Any) -> Any:
        return np.zeros(faces_bgr.shape[:3], np.float32)


def _rendered(**rules: Any) -> list[Any]:
    boxes = [np.array(box, np.float32) for box in (SMALL, LARGE)]
    targets = tuple(
        FaceTarget(track, box, box[:2] + POINTS * (box[2] - box[0]), MEL) for track, box in enumerate(boxes)
    )
    renderer = Renderer(Passthrough(64, 4), CANVAS, SOFT, **rules)
    return [plane_array(f, 0).copy() for f in renderer.render(FrameJob(draw_frame(SPEC, n), targets) for n in range(3))]


@pytest.mark.parametrize(("least_px", "faces"), [(0, 6), (48, 3), (200, 0)])
def test_small_faces_are_not_restored(least_px: float, faces: int) -> None:
    """Neither are they shown otherwise than without a restorer, nor do they cost its time; larger ones are restored."""
    restorer = Negative()
    frames = _rendered(restorer=restorer, min_restored_px=least_px)
    assert restorer.seen == faces
    for frame, other in zip(frames, _rendered(), strict=True):
        assert np.array_equal(frame[:, :80], other[:, :80]) == (least_px > 40)
        assert np.array_equal(frame[:, 100:], other[:, 100:]) == (least_px > 180)


def test_covered_faces_are_not_restored() -> None:
    """Where nothing of the new mouth is shown, no restorer runs, and the frame is the original one."""
    restorer = Negative()
    frames = _rendered(restorer=restorer, maskers=[Hidden()])
    assert restorer.seen == 0
    for number, frame in enumerate(frames):
        assert np.array_equal(frame, plane_array(draw_frame(SPEC, number), 0))


def test_only_a_bound_that_was_set_names_a_job_anew() -> None:
    """The usual bound is part of the pipeline's version; another one makes other jobs of those before."""
    usual = Settings().identity()
    assert "min_face_px" not in usual["restore"]
    assert Settings.model_validate({"restore": {"min_face_px": MIN_RESTORED_PX}}).identity() == usual
    assert Settings.model_validate({"restore": {"min_face_px": 0}}).identity()["restore"]["min_face_px"] == 0
