"""Things in front of faces are left out of their masks, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.lipsync.align import TEMPLATE
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.jaw import JAW_RADIUS
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.occlusion import OCCLUSION_RADIUS, Occlusion
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, F32Array, Size

FACE = Blend("face", 0.1, "cubic", match_light=True, linear_light=False, grain=False, align=False)
SIZE = Size(240, 240)
SPEC = ClipSpec(size=SIZE)
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SIZE, SHAPE, ColorTags(matrix=6))
FIVE = ((TEMPLATE - 256) * 0.35 + [120, 110]).astype(np.float32)
BOX = np.array([60, 40, 180, 200], np.float32)
FRAMES, COVERED = 48, range(20, 26)
CHEEK = (148, 168)


def _drawn(number: int, *, is_covered: bool) -> Any:
    """Return a frame that shows skin, and something dark before the cheek."""
    frame = draw_frame(SPEC, number)
    luma = plane_array(frame, 0)
    luma[:] = 150
    for chroma in (1, 2):
        plane_array(frame, chroma)[:] = 128
    if is_covered:
        cv2.circle(luma, CHEEK, 16, 40, -1)
    return frame


def _jobs(first: int, stop: int, around: int = 0) -> Iterator[FrameJob]:
    """Yield the frames of a chunk, with those around that tell something about it."""
    for number in range(max(0, first - around), min(FRAMES, stop + around)):
        target = FaceTarget(0, BOX, FIVE, np.zeros((80, 16), np.float32))
        yield FrameJob(
            _drawn(number, is_covered=number in COVERED),
            (target,),
            source=number,
            outside=max(first - number, number - stop + 1, 0),
        )


class White(Passthrough):
    """Makes every face white."""

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        return np.ones_like(faces_bgr)


class Part:
    """Finds something in front of a part of every face."""

    size_px, batch_faces = 64, 3

    def __init__(self, first: int, stop: int, free: float) -> None:
        self._part, self._free = slice(first, stop), free

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        masks = np.ones(faces_bgr.shape[:3], np.float32)
        masks[:, :, self._part] = self._free
        return masks


def _rendered(first: int = 0, stop: int = FRAMES, **settings: Any) -> tuple[list[np.ndarray], Occlusion]:
    renderer = Renderer(White(96, 4), CANVAS, FACE, **settings)
    jobs = _jobs(first, stop, renderer.reach.seen)
    return [plane_array(frame, 0).copy() for frame in renderer.render(jobs)], renderer.occlusion


def test_what_comes_before_a_cheek_for_a_moment_stays() -> None:
    """Where it is the frame stays as it was filmed; in other frames the new face is seen there."""
    frames, found = _rendered(compares=True)
    painted, _ = _rendered()
    here = np.s_[CHEEK[1] - 6 : CHEEK[1] + 6, CHEEK[0] - 6 : CHEEK[0] + 6]
    for number, (luma, without) in enumerate(zip(frames, painted, strict=True)):
        if number in COVERED:
            assert np.abs(luma[here].astype(int) - 40).mean() < np.abs(without[here].astype(int) - 40).mean() / 3
        else:
            near = min(abs(number - one) for one in COVERED)
            assert near <= 1 + JAW_RADIUS or np.array_equal(luma[here], without[here])
    assert found.seen == FRAMES
    assert len(COVERED) <= found.occluded <= len(COVERED) + 2
    assert 0.02 < found.share / found.occluded < 0.5


def test_chunks_do_not_show() -> None:
    """A chunk is rendered with as many frames around as decide what it looks like."""
    whole, found = _rendered(compares=True)
    parts: list[np.ndarray] = []
    counted = Occlusion()
    for first, stop in ((0, 17), (17, 22), (22, 35), (35, FRAMES)):
        frames, part = _rendered(first, stop, compares=True)
        assert len(frames) == stop - first
        parts += frames
        counted = Occlusion(counted.seen + part.seen, counted.occluded + part.occluded, counted.share + part.share)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert (counted.seen, counted.occluded) == (found.seen, found.occluded)
    assert counted.share == pytest.approx(found.share)


def test_the_smallest_opacity_counts() -> None:
    """Of two networks each leaves out what it finds, and what both find is left out once."""
    left, right, same = Part(0, 24, 0.0), Part(40, 64, 0.0), Part(0, 24, 0.5)

    def with_networks(*maskers: Part) -> np.ndarray:
        frames, _ = _rendered(0, 8, maskers=maskers)
        return frames[4].astype(int)

    filmed, alone = plane_array(_drawn(4, is_covered=False), 0).astype(int), with_networks()
    both = with_networks(left, right)
    changed = np.abs(both - filmed) > 2
    columns = np.flatnonzero(changed.any(axis=0))
    assert np.ptp(columns) < 0.6 * np.ptp(np.flatnonzero((np.abs(alone - filmed) > 2).any(axis=0)))
    assert np.array_equal(with_networks(left, same), with_networks(left))
    assert np.array_equal(with_networks(same, left), with_networks(left))


def test_a_box_is_laid_over_everything() -> None:
    """As the original does, whatever finds something."""
    box = Blend("box", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)
    found = []
    everything: list[Part] = [Part(0, 64, 0.0)]
    for maskers in ([], everything):
        renderer = Renderer(White(96, 4), CANVAS, box, maskers=maskers, compares=bool(maskers))
        found.append([plane_array(frame, 0).copy() for frame in renderer.render(_jobs(0, 5))])
        assert renderer.occlusion.occluded == 0
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_figures_add_up() -> None:
    """Little is nothing; a frame counts once, with the largest share."""
    found = Occlusion()
    for share in (0.0, 0.01, 0.3, 0.5):
        found.add(share)
    assert found == Occlusion(4, 2, 0.8)


def test_few_frames_wait() -> None:
    """Comparison holds the frames ahead, and of those behind their faces only."""
    alive = most = 0

    def jobs() -> Iterator[FrameJob]:
        nonlocal alive, most
        for number in range(200):
            alive += 1
            most = max(most, alive)
            target = FaceTarget(0, BOX, FIVE, np.zeros((80, 16), np.float32))
            yield FrameJob(_drawn(number, is_covered=False), (target,), source=number)

    for _ in Renderer(White(96, 4), CANVAS, FACE, compares=True).render(jobs()):
        alive -= 1
    assert most < OCCLUSION_RADIUS + 60
