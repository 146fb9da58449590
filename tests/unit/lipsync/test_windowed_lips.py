"""New lips by a network that looks over a window of frames: chunks, gaps, cuts, ends and several people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.frame_job import FaceTarget, FrameJob
from lipwise_ray.lipsync.frame_windows import FrameWindow
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.synth.clips import draw_frame
from lipwise_ray.values import Span
from tests.unit.lipsync.test_renderer import BOX, CANVAS, HARD, POINTS, SPEC

FRAMES = 37
RATES = ("24000/1001", "30000/1001", "50")
PLACES = np.linspace(0.5, 1.5, 16, dtype=np.float32)


class Mixing(Passthrough):
    """Draws every face of a window by all faces and sounds of it, and by where they stand."""

    def __init__(self, overlap: int = 0) -> None:
        super().__init__(16, 16)
        self.frames = FrameWindow(16, overlap, Fraction(25))
        self.heard: list[list[int]] = []

    def __call__(self, faces_bgr: Any, sounds: Any) -> Any:
        self.heard.append([int(sound[0, 0]) for sound in sounds])
        looked = np.float32((PLACES * faces_bgr.mean(axis=(1, 2, 3)) + sounds[:, 0, 0] / 100).mean())
        return (faces_bgr + looked * np.float32(0.5)) % np.float32(1)


def _target(track: int, number: int, box: Any = BOX[0]) -> FaceTarget:
    return FaceTarget(track, box, POINTS, np.full((80, 16), number, np.float32))


def _render(
    model: Mixing, chunk: Span, rate: str, tracks: Any = lambda _: [7], total: int = FRAMES, boxes: Any = BOX
) -> list[Any]:
    """Return the luma of a chunk's frames, for which the frames around are read as a job's chunk reads them."""
    renderer = Renderer(model, CANVAS, HARD, rate=Fraction(rate))
    around = model.frames.at(Fraction(rate)).around(chunk)

    def jobs() -> Iterator[FrameJob]:
        for number in range(max(0, around.start), min(total, around.stop)):
            outside = max(chunk.start - number, number - chunk.stop + 1, 0)
            targets = tuple(_target(track, number, boxes[track % len(boxes)]) for track in tracks(number))
            frame = draw_frame(SPEC, number)
            yield FrameJob(frame, targets, number, number, outside, fills_window=outside > 0)

    return [plane_array(frame, 0).copy() for frame in renderer.render(jobs())]


def _differing(one: Sequence[Any], other: Sequence[Any]) -> list[int]:
    assert len(one) == len(other)
    return [number for number, (a, b) in enumerate(zip(one, other, strict=True)) if not np.array_equal(a, b)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("overlap", [0, 5])
def test_chunks_do_not_show(rate: str, overlap: int) -> None:
    """Frames of chunks whose borders lie inside windows are, to the bit, those of one chunk."""
    whole = _render(Mixing(overlap), Span(0, FRAMES), rate)
    assert len(whole) == FRAMES
    parts = [
        frame
        for start, stop in ((0, 1), (1, 13), (13, 14), (14, 33), (33, FRAMES))
        for frame in _render(Mixing(overlap), Span(start, stop), rate)
    ]
    assert _differing(parts, whole) == []
    assert _differing(whole, _render(Mixing(overlap), Span(0, FRAMES), rate, lambda _: [])) == [*range(FRAMES)]


class Placed(Mixing):
    """Draws a window by the number of its first frame, too."""

    def __init__(self, first: int | None = None) -> None:
        super().__init__()
        self.first = first

    def at(self, first: int) -> Placed:
        return Placed(first)

    def __call__(self, faces_bgr: Any, sounds: Any) -> Any:
        assert self.first is not None
        return (super().__call__(faces_bgr, sounds) + np.float32(self.first / 100)) % np.float32(1)


@pytest.mark.parametrize("rate", ["25", "50"])
def test_a_network_is_told_where_its_window_begins(rate: str) -> None:
    """By frames of the output, in every chunk the same; the first window is told 0, and later ones draw otherwise."""
    frames = Span(0, FRAMES)
    whole = _render(Placed(), frames, rate)
    parts = [frame for part in (Span(0, 13), Span(13, FRAMES)) for frame in _render(Placed(), part, rate)]
    assert _differing(parts, whole) == []
    apart = Mixing().frames.at(Fraction(rate)).apart
    assert _differing(whole, _render(Mixing(), frames, rate)) == [
        number for number in range(FRAMES) if number % apart or number >= 16 * apart
    ]


def test_windows_are_full_at_the_ends() -> None:
    """The last frame stands for those that the video does not have; with an overlap the first one does so, too."""
    model = Mixing()
    _render(model, Span(0, 19), "25", total=19)
    assert model.heard == [[*range(16)], [16, 17, 18] + [18] * 13]
    model = Mixing(overlap=4)
    _render(model, Span(0, 1), "25", total=1)
    assert model.heard == [[0] * 16]


def test_at_50_frames_a_second_two_windows_lie_in_each_other() -> None:
    """Each takes every second frame, so that they are 40 ms apart, and all frames are drawn."""
    model = Mixing()
    _render(model, Span(0, 32), "50", total=32)
    assert model.heard == [[*range(0, 32, 2)], [*range(1, 32, 2)]]


def test_a_frame_without_a_face_moves_no_other() -> None:
    """It stays as it is; in its place stands the nearest frame that has the face, of two the earlier."""
    model = Mixing()
    out = _render(model, Span(0, 16), "25", lambda n: [7] if n not in (0, 5, 6) else [], total=16)
    assert model.heard == [[1, 1, 2, 3, 4, 4, 7, 7, *range(8, 16)]]
    untouched = [plane_array(draw_frame(SPEC, number), 0) for number in range(16)]
    assert _differing(out, untouched) == [number for number in range(16) if number not in (0, 5, 6)]


def test_tracks_have_windows_of_their_own() -> None:
    """Beyond a cut another track begins: a window holds frames of one alone, and two faces of a frame are two."""
    model = Mixing()
    _render(model, Span(0, 16), "25", lambda n: [1] if n < 6 else [2], total=16)
    assert model.heard == [[*range(6)] + [5] * 10, [6] * 6 + [*range(6, 16)]]
    boxes = np.array([[40, 40, 80, 80], [90, 30, 130, 70]], np.float32)
    both = _render(Mixing(), Span(0, 8), "25", lambda _: [0, 1], total=8, boxes=boxes)
    alone = _render(Mixing(), Span(0, 8), "25", lambda _: [0], total=8, boxes=boxes)
    left = np.s_[:, :84]
    assert _differing([luma[left] for luma in both], [luma[left] for luma in alone]) == []
    assert _differing(both, alone) == [*range(8)]


def test_few_frames_are_in_memory() -> None:
    """However long the video, it is read no further than some windows ahead of what was taken."""
    read: list[int] = []
    total = 2000

    def jobs() -> Iterator[FrameJob]:
        for number in range(total):
            read.append(number)
            yield FrameJob(draw_frame(SPEC, 0), (_target(7, number % 100),), number, number)

    frames = Renderer(Mixing(), CANVAS, HARD, rate=Fraction(25)).render(jobs())
    next(frames)
    assert len(read) < 200
    frames.close()


def test_neighbours_are_computed_and_not_shown() -> None:
    """A chunk gives as many frames as it has, though windows reach beyond it, and masks look at those around."""
    soft = replace(HARD, mask="soft", match_light=True)
    renderer = Renderer(Mixing(), CANVAS, soft, rate=Fraction(25))
    jobs = (
        FrameJob(draw_frame(SPEC, n), (_target(7, n),), n, n, max(9 - n, n - 10, 0), fills_window=abs(n - 9.5) > 4)
        for n in range(32)
    )
    assert len([*renderer.render(jobs)]) == 2
