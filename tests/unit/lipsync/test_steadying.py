"""Restored faces over time: as sharp as the film, and with detail that does not shimmer."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.steadying import (
    Edges,
    Strength,
    edges_of,
    fine_detail,
    matched_strength,
    radius_of,
    steadied,
)
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size, Span

SPEC = ClipSpec(size=Size(320, 240))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
BOX = np.array([64, 24, 256, 216], np.float32)
BLEND = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=False, align=False)
FRAMES = 20


def _drawn(seed: int, side: int = 192) -> Any:
    """Return a drawing with hard edges of every direction, in levels of luma."""
    rng = np.random.default_rng(seed)
    image = np.full((4 * side, 4 * side), 120, np.float32)
    for _ in range(80):
        centre, axes = rng.uniform(0, 4 * side, 2), rng.uniform(0.02, 0.08, 2) * 4 * side
        ellipse = centre.tolist(), (2 * axes).tolist(), float(rng.uniform(0, 180))
        cv2.ellipse(image, ellipse, float(rng.uniform(80, 170)), -1)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


class Soft(Passthrough):
    """A network whose faces are blurred."""

    def __init__(self) -> None:
        super().__init__(96, 4)

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        return np.stack([cv2.GaussianBlur(face, (0, 0), 1.5) for face in faces_bgr])


class Drawing:
    """A restorer that knows what the face looks like when it is sharp."""

    size_px, scale, batch_faces = 192, 1, 3
    space = "crop"

    def __call__(self, faces_bgr: Any) -> Any:
        sharp = (_drawn(0) - 16) / 219
        return np.repeat(sharp[None, ..., None], len(faces_bgr), axis=0).repeat(3, axis=3).astype(np.float32)


def _jobs(blur_px: float, shown: Span, around: int = 0) -> Iterator[FrameJob]:
    face = _drawn(0) if not blur_px else cv2.GaussianBlur(_drawn(0), (0, 0), blur_px)
    left, top, right, bottom = BOX.astype(int)
    for number in range(max(0, shown.start - around), min(FRAMES, shown.stop + around)):
        frame = draw_frame(SPEC, 0)
        plane_array(frame, 0)[top:bottom, left:right] = np.rint(face + number % 3)
        for plane in (1, 2):
            plane_array(frame, plane)[:] = 128
        target = FaceTarget(0, BOX, np.zeros((5, 2), np.float32), np.zeros((80, 16), np.float32))
        outside = max(shown.start - number, number - shown.stop + 1, 0)
        yield FrameJob(frame, (target,), number, outside=outside)


def _rendered(blur_px: float, strength: Strength, smooth: float = 0.0) -> tuple[float, list[Any]]:
    """Return how sharp mouths become beside the original ones, and the luma of every frame."""
    renderer = Renderer(Soft(), CANVAS, BLEND, restorer=Drawing(), strength=strength, smooth=smooth)  # type: ignore[arg-type]
    frames = list(renderer.render(_jobs(blur_px, Span(0, FRAMES))))
    sums = renderer.measures.sharpness
    return exp((sums.dubbed - sums.filmed) / sums.faces), [plane_array(frame, 0).copy() for frame in frames]


@pytest.mark.parametrize("blur_px", [1.0, 1.5, 2.0])
def test_a_soft_film_keeps_a_soft_mouth(blur_px: float) -> None:
    """By itself the restored mouth is much sharper than the film; `auto` makes it about as sharp, no sharper."""
    assert _rendered(blur_px, 1.0)[0] > 1.5
    assert 0.7 < _rendered(blur_px, "auto")[0] < 1.1
    assert _rendered(blur_px, 0.0)[0] < 0.5


def test_a_sharp_film_gets_all_of_the_restored_mouth() -> None:
    """Where the restored face is no sharper than the filmed one, nothing is held back."""
    fixed, auto = _rendered(0.0, 1.0), _rendered(0.0, "auto")
    assert auto[0] == pytest.approx(fixed[0], abs=0.1)
    assert auto[0] > 1.3 * _rendered(0.0, 0.0)[0]


def test_the_share_changes_slowly() -> None:
    """Sharpness that jumps from frame to frame, as mouths open, does not make the share flicker."""
    rng = np.random.default_rng(0)
    edges = [Edges(float(rng.uniform(2, 8)), (2.0, 3.5, 5.0, 8.0)) for _ in range(100)]
    each = [matched_strength([(0, one)]) for one in edges]
    radius = radius_of("auto", 0)
    smooth = [
        matched_strength([(at - number, edges[at]) for at in range(number - radius, number + radius + 1)])
        for number in range(radius, 100 - radius)
    ]
    assert np.abs(np.diff(each)).max() > 0.8
    assert np.abs(np.diff(smooth)).max() < 0.15


@pytest.mark.parametrize(
    ("filmed", "mixed", "share"),
    [
        (5, (2, 3.5, 5, 8), 0.5),
        (3, (2, 2.5, 3, 8), 0.5),
        (9, (2, 3.5, 5, 8), 1),
        (1, (2, 3.5, 5, 8), 0),
        (2, (2, 2, 2, 2), 0),
        (5, (3, 3, 3, 3), 1),
        (5, (4, 3, 2, 2), 1),
    ],
)
def test_which_share(filmed: float, mixed: tuple[float, ...], share: float) -> None:
    """The one at which edges are as filmed; all where even that is too soft, none where the network's are enough."""
    assert matched_strength([(0, Edges(filmed, mixed))]) == pytest.approx(share, abs=0.03)


def test_edges_are_measured_at_the_size_in_the_frame() -> None:
    """What a restorer adds that the frame's size cannot show does not count; a hidden mouth tells nothing."""
    face = cv2.resize(_drawn(1, 96), (384, 384), interpolation=cv2.INTER_CUBIC)
    noisy = face + np.float32(6) * (np.indices(face.shape).sum(axis=0) % 2 * 2 - 1)
    ones, quarter = np.ones(face.shape, np.float32), np.array([[0.25, 0, 0], [0, 0.25, 0]])
    edges = edges_of(face, face, noisy.astype(np.float32), ones, quarter)
    assert edges is not None
    assert edges.mixed[-1] == pytest.approx(edges.filmed, rel=0.1)
    assert edges_of(face, face, face, 0 * ones, quarter) is None


@pytest.mark.parametrize("strength", ["auto", 1.0])
@pytest.mark.parametrize("chunk", [Span(0, 7), Span(7, 12), Span(12, 20)])
def test_chunks_do_not_show(strength: Strength, chunk: Span) -> None:
    """With the frames around, a chunk's faces get the share and the detail that they have in the whole."""
    whole = _rendered(1.5, strength, smooth=1.0)[1]
    renderer = Renderer(Soft(), CANVAS, BLEND, restorer=Drawing(), strength=strength, smooth=1.0)  # type: ignore[arg-type]
    assert renderer.reach.seen >= radius_of(strength, 1.0) > 0
    part = [plane_array(frame, 0) for frame in renderer.render(_jobs(1.5, chunk, renderer.reach.seen))]
    assert len(part) == len(chunk)
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[chunk.start : chunk.stop], strict=True))


@pytest.mark.parametrize("strength", [1.0, "auto"])
def test_nothing_is_asked_without_a_restorer(strength: Strength) -> None:
    """Frames come out as they would, and no frames around are wanted."""
    renderer = Renderer(Soft(), CANVAS, BLEND, strength=strength, smooth=1.0)
    assert renderer.reach.seen == Renderer(Soft(), CANVAS, BLEND).reach.seen
    assert len(list(renderer.render(_jobs(1.0, Span(0, 5))))) == 5


def _shimmering(count: int, move: float = 0.0) -> list[Any]:
    """Return restored faces with detail that is another one in each frame, brighter from one to the next."""
    face = 0.4 * (_drawn(2) - 16) / 219
    rng = np.random.default_rng(3)
    images = (face + move * number + 0.03 * rng.standard_normal(face.shape) for number in range(count))
    return [np.clip(image, 0.05, 0.95)[..., None].repeat(3, axis=2).astype(np.float32) for image in images]


def _calmed(images: list[Any], smooth: float) -> Any:
    details = [fine_detail(image @ np.array([0.114, 0.587, 0.299], np.float32) * 255, 192) for image in images]
    middle = len(images) // 2
    around = [(number - middle, detail) for number, detail in enumerate(details)]
    return steadied(images[middle], around, smooth)


def test_detail_of_a_still_mouth_shimmers_less() -> None:
    """The more the frames around count, the nearer it is to their mean; at 0 nothing changes."""
    images = _shimmering(5)
    mean = np.mean(images, axis=0)
    apart = [float(np.abs(_calmed(images, smooth) - mean).mean()) for smooth in (0.0, 0.5, 1.0)]
    assert np.array_equal(_calmed(images, 0.0), images[2])
    assert apart[1] < 0.8 * apart[0]
    assert apart[2] < 0.6 * apart[0]


def test_a_mouth_that_moves_keeps_its_own_detail() -> None:
    """Where the coarse image is another one, nothing of the frames around shows: teeth leave no ghost behind."""
    images = _shimmering(5, move=0.1)
    assert np.abs(_calmed(images, 1.0) - images[2]).max() < 0.01


def test_enlarged_faces_are_calmed_too() -> None:
    """Detail is compared at the restorer's size, and the change enlarged."""
    images = [cv2.resize(image, (384, 384), interpolation=cv2.INTER_CUBIC) for image in _shimmering(5)]
    mean = np.mean(images, axis=0)
    calmed = _calmed(images, 1.0)
    assert calmed.shape == images[0].shape
    assert np.abs(calmed - mean).mean() < 0.7 * np.abs(images[2] - mean).mean()
