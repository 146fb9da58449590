"""Things in front of a face stay as they were filmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync.align import TEMPLATE, aligned_to_shown
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.parsing import FaceParser, free_of_things
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.nets.bisenet import BACKGROUND, GLASSES, HAIR, BiSeNet
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

FACE = Blend("face", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)

SKIN = 1


def test_hair_glasses_and_hands_are_kept_out() -> None:
    """Hair and glasses anywhere, and what is no face in the middle of one; background beside the jaw is no thing."""
    classes = np.full((512, 512), SKIN, np.uint8)
    classes[:, :40] = BACKGROUND
    classes[470:] = BACKGROUND
    classes[100:500, 60:90] = HAIR
    classes[230:250, 180:330] = GLASSES
    classes[380:420, 230:280] = BACKGROUND  # a hand, which has no class of its own
    free = free_of_things(classes)
    assert max(free[300, 75], free[240, 250], free[400, 255]) < 0.05
    assert min(free[300, 20], free[500, 256], free[340, 256], free[200, 150]) > 0.95
    assert max(np.abs(np.diff(free, axis=axis)).max() for axis in (0, 1)) < 0.15


class Left:
    """Finds something in front of the left half of every face."""

    size_px = 512
    batch_faces = 3

    def __call__(self, faces_bgr: Any) -> Any:
        assert faces_bgr.shape == (3, 512, 512, 3)
        free = np.ones(faces_bgr.shape[:3], np.float32)
        free[:, :, :256] = 0
        return free


class White(Passthrough):
    """Makes every face white."""

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        return np.ones_like(faces_bgr)


def test_the_frame_stays_where_something_is_in_front() -> None:
    """The new face shows in the free half of the face, wherever it is in the frame, and nowhere else."""
    size = Size(240, 200)
    shape = planar_format("yuv420p")
    assert shape is not None
    box = np.array([70, 40, 170, 160], np.float32)
    points = ((TEMPLATE - 256) * 0.25 + [120, 90]).astype(np.float32)
    jobs = [
        FrameJob(draw_frame(ClipSpec(size=size), n), (FaceTarget(0, box, points, np.zeros((80, 16), np.float32)),))
        for n in range(5)
    ]
    renderer = Renderer(White(batch_faces=4), Canvas(size, shape, ColorTags(matrix=6)), FACE, maskers=[Left()])
    middle = int(aligned_to_shown(points, 512)[0, 2] + 256 * 0.25)
    for number, frame in enumerate(renderer.render(iter(jobs))):
        changed = plane_array(frame, 0) != plane_array(draw_frame(ClipSpec(size=size), number), 0)
        assert not changed[:, : middle - 3].any()
        assert changed[110:140, middle + 8 : middle + 20].mean() > 0.9


def test_a_checkpoint_is_loaded_whole(tmp_path: Path) -> None:
    """The published layout loads, gives the same map twice for RGB faces, and another network's file is refused."""
    torch.manual_seed(1)
    torch.save(BiSeNet().state_dict(), tmp_path / "w.pth")
    parser = FaceParser(tmp_path / "w.pth", device="cpu", precision="float32", batch_faces=1)
    faces = np.random.default_rng(1).uniform(0, 1, (1, 512, 512, 3)).astype(np.float32)
    first, again = parser(faces), parser(faces)
    assert first.shape == (1, 512, 512)
    assert np.array_equal(first, again)
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="the face parser"):
        FaceParser(tmp_path / "other.pth", device="cpu", precision="float32", batch_faces=1)
