"""A window of an output: its frames, and the part of the plan that it shows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import InputError
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.make_plan import make_plan, window_sources
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.shown_part import begin_s, shown_chunks, shown_plan
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from tests.unit.pipeline.dubbing.test_plan import _faces, _facts, _index, _settings

STEPS = [20, 40, 20, 60, 20]


def _plan(window: OutputWindow | None, **settings: Any) -> Plan:
    facts = replace(_facts(_index(0, steps=STEPS * 20), 3.0), window=window)
    return make_plan(facts, _faces(range(100)), _settings(**settings))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 3))
def test_its_frames_are_those_that_are_shown_then(steps: list[int], part: float, seconds: float) -> None:
    """The first is on the screen at its time, none begins after its end, and the pieces are the whole output."""
    pts = np.cumsum([0, *steps]).astype(np.int64)
    timeline = Timeline(pts[:-1], int(pts[-1]), Fraction(1, 1000))
    at_s = part * (pts[-1] - 0.01) / 1000
    window = OutputWindow(at_s, seconds)
    shown = window.frames(timeline)
    assert pts[shown.start] / 1000 <= at_s + 1e-5
    assert at_s < pts[shown.start + 1] / 1000 + 1e-5
    assert all(pts[number] / 1000 < at_s + seconds + 1e-5 for number in range(shown.start + 1, shown.stop))
    assert shown.stop == len(steps) or pts[shown.stop] / 1000 >= at_s + seconds - 1e-5
    pieces = window.chunks(timeline)
    assert [number for piece in pieces for number in range(piece.start, piece.stop)] == list(range(len(steps)))
    assert shown in pieces


def test_the_part_of_a_plan_is_what_the_whole_has_there() -> None:
    """Sources, sounds, times from 0 on; the chunk that is rendered is the window's."""
    window = OutputWindow(1.5, 0.4)
    whole, cut = _plan(None), _plan(window)
    shown = window.frames(cut.timeline)
    part = shown_plan(window, cut)
    assert cut.source.tolist() == whole.source.tolist()
    assert part.source.tolist() == whole.source[shown.start : shown.stop].tolist()
    assert part.mel_start.tolist() == whole.mel_start[shown.start : shown.stop].tolist()
    assert part.timeline.pts[0] == 0
    assert begin_s(window, cut) == int(whole.timeline.pts[shown.start]) * whole.timeline.time_base
    assert part.audio_s == part.timeline.duration_s
    assert (part.counts.frames, part.counts.frames_with_face) == (len(shown), len(shown))
    assert [cut.chunks[number] for number in shown_chunks(window, cut)] == [shown]
    assert shown_plan(None, whole) is whole
    assert list(shown_chunks(None, whole)) == list(range(len(whole.chunks)))


def test_where_faces_have_to_be_looked_for() -> None:
    """The source frames of a window, also where the video goes back; nobody can tell where faces decide on frames."""
    facts = replace(_facts(_index(75), 11), window=OutputWindow(3.2, 0.4))  # frames 80 to 89 show 68 to 59
    sources = window_sources(facts, _settings())
    assert sources is not None
    assert (sources.start, sources.stop) == (59, 69)
    assert window_sources(facts, _settings(faces={"on_no_face": "skip"})) is None
    assert window_sources(facts, _settings(timing={"length": "fit", "fit": "both"})) is None
    assert window_sources(replace(facts, window=None), _settings()) is None


def test_after_the_end_there_is_nothing() -> None:
    """The message tells how long the output is."""
    with pytest.raises(InputError, match=r"--at: 3 s is past the end of an output of 3\.00 s"):
        _plan(OutputWindow(3.0, 1.0))
