"""Which chunks of a source a row looks at."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.source_range import Stretch, stretch_of
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import Span

FRAMES = 25 * 60
SETTINGS = Settings.model_validate_json('{"chunk": {"length_s": 4.0}, "detect": {"stride": 3}}')


def _stretch(
    start_s: float, end_s: float | None, window: OutputWindow | None = None, settings: Settings = SETTINGS
) -> Stretch:
    pts = np.arange(FRAMES, dtype=np.int64)
    none = np.zeros(0, np.int64)
    index = FrameIndex(pts, np.ones(FRAMES, np.bool_), pts, none, FRAMES, Fraction(1, 25), Fraction(25))
    spec = SimpleNamespace(settings=settings, window=window, start_s=start_s, end_s=end_s)
    return stretch_of(SimpleNamespace(spec=spec, video=SimpleNamespace(index=index)))  # type: ignore[arg-type]  # all that is looked at


def test_a_whole_source_is_looked_at_as_a_whole() -> None:
    """Without a start and an end it is all chunks, and what is found has no name of its own."""
    whole = _stretch(0, None)
    assert (whole.part, len(whole.chunks), whole.span) == ("", 15, Span(0, FRAMES))


def test_a_trimmed_row_looks_around_what_it_uses() -> None:
    """Chunks keep their numbers whatever the start is, so that rows share those they have in common."""
    near, other = _stretch(22.5, 29), _stretch(30, 38)
    assert [number for number, _ in near.numbered] == [5, 6, 7]
    assert (near.part, near.span) == ("00005-00007", Span(500, 800))
    assert [number for number, _ in near.numbered if (number, other.chunks[0]) in other.numbered] == [7]


def test_a_preview_of_windows_looks_around_them() -> None:
    """A network that takes 16 frames is given those beside a preview's, with the faces that a dub has there."""
    window = OutputWindow(20.0, 2.0, (500, 550))
    drawing = Settings.model_validate_json('{"lipsync": {"model": "latentsync_16"}, "chunk": {"frames": 1}}')
    usual = Settings.model_validate_json('{"chunk": {"frames": 1}}')
    near, around = (_stretch(0, None, window, settings).span for settings in (usual, drawing))
    assert (near.start - around.start, around.stop - near.stop) == (16, 16)
    assert _stretch(20, 22, None, drawing).span == _stretch(20, 22, None, usual).span


def test_nothing_to_look_at() -> None:
    """A start behind the end of the source is told before anything is looked at."""
    with pytest.raises(InputError, match=r"70 to the end leaves nothing of a video of \d+\.\d\d s"):
        _stretch(70, None)


def test_detections_of_a_stretch_stand_at_their_frames() -> None:
    """In a whole video they keep their numbers, and cuts and dissolves stay where they are."""
    change, is_blend = np.array([0, 99, 0, 0], np.float32), np.array([False, False, True, False])
    box, points = np.array([[1, 2, 3, 4]], np.float32), np.zeros((1, 5, 2), np.float32)
    colour = np.zeros((1, 6), np.float32)
    part = Detections(np.array([8]), np.array([8]), box, points, np.ones(1, np.float32), colour, change, is_blend)
    whole = part.within(7, 20)
    assert (len(whole.change), int(whole.change.argmax()), int(whole.frame[0])) == (20, 8, 8)
    assert np.flatnonzero(whole.is_blend).tolist() == [9]
