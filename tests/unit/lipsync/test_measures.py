"""Measures of dubbed faces are those of the frames that are shown, however a video is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.flicker import Flicker
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.sharpness import Sharpness
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(160, 120))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
SOFT = Blend("soft", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)
FRAMES, AROUND = 40, 5


def _jobs(boxes: list[Any], start: int, stop: int) -> Iterator[FrameJob]:
    """Yield the frames of a chunk, and some around."""
    points, mel = np.zeros((5, 2), np.float32), np.zeros((80, 16), np.float32)
    targets = tuple(FaceTarget(track, box, points, mel) for track, box in enumerate(boxes))
    for number in range(max(0, start - AROUND), min(FRAMES, stop + AROUND)):
        outside = max(start - number, number - stop + 1, 0)
        yield FrameJob(draw_frame(SPEC, number), targets, source=number, number=number, outside=outside)


def _rendered(boxes: list[Any], chunk: int) -> Iterator[Renderer]:
    """Yield the renderer of each chunk of a video."""
    for start in range(0, FRAMES, chunk):
        renderer = Renderer(Passthrough(64, 4), CANVAS, SOFT)
        list(renderer.render(_jobs(boxes, start, min(FRAMES, start + chunk))))
        yield renderer


@pytest.mark.parametrize("people", [1, 2, 8])
@pytest.mark.parametrize("chunk", [5, 40])
def test_everybodys_mouth_is_measured(people: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one frame in eleven every face's sharpness is, however many there are and however the video is cut."""
    boxes = [np.array([20, 10, 100 + 2 * track, 90 + 2 * track], np.float32) for track in range(people)]
    sides: Counter[int] = Counter()
    add = Sharpness.add

    def counted(sums: Sharpness, dubbed: Any, filmed: Any, mask: Any) -> None:
        sides[len(dubbed)] += 1
        add(sums, dubbed, filmed, mask)

    monkeypatch.setattr(Sharpness, "add", counted)
    assert len(list(_rendered(boxes, chunk))) == FRAMES // chunk
    assert sides == {80 + 2 * track: 4 for track in range(people)}


@pytest.mark.parametrize("chunk", [3, 13])
def test_chunks_do_not_show_in_measured_smoothness(chunk: int) -> None:
    """Of one frame in eleven every face's is measured once: not that of neighbours, which other chunks show."""
    boxes = [np.array(box, np.float32) for box in ([20, 10, 100, 90], [40, 30, 120, 110])]
    (whole,) = (renderer.measures.smoothness for renderer in _rendered(boxes, FRAMES))
    parts = [renderer.measures.smoothness for renderer in _rendered(boxes, chunk)]
    assert sum(part.faces for part in parts) == whole.faces == 2 * 4
    assert sum(part.total for part in parts) == pytest.approx(whole.total)


@pytest.mark.parametrize("cut", [3, 17, 33])
def test_flicker_of_parts_adds_up_to_that_of_the_whole(cut: int) -> None:
    """Frames are picked by their numbers in the video, so a cut changes nothing but where it parts those compared."""
    boxes = [np.array(box, np.float32) for box in ([20, 10, 100, 90], [40, 30, 120, 110])]
    found: list[Flicker] = []
    for start, stop in ((0, FRAMES), (0, cut), (cut, FRAMES)):
        renderer = Renderer(Passthrough(64, 4), CANVAS, SOFT)
        list(renderer.render(_jobs(boxes, start, stop)))
        found.append(renderer.measures.flicker)
    whole, *parts = found
    assert sum(part.faces for part in parts) == whole.faces == 2 * 4
    assert sum(part.dubbed for part in parts) == pytest.approx(whole.dubbed)
    assert sum(part.filmed for part in parts) == pytest.approx(whole.filmed)
