"""Where the source's clock goes in the output, time codes, languages."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.media.edits import Edit, edits_of, in_output
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.language import container_language
from lipwise_ray.media.timecode import timecode_after
from lipwise_ray.media.timeline import Timeline

F = Fraction


def _index(frames: int, first: int = 100) -> FrameIndex:
    """An index of 10 frames a second on a clock of 1/100 s, which begins at one second."""
    pts = first + 10 * np.arange(frames, dtype=np.int64)
    keys = np.zeros(frames, np.bool_)
    return FrameIndex(pts, keys, pts, np.zeros(0, np.int64), int(pts[-1]) + 10, F(1, 100), F(10))


def _edits(frames: int, source: list[int]) -> tuple[Edit, ...]:
    count = len(source)
    return edits_of(
        _index(frames), np.array(source, np.int64), Timeline(np.arange(count, dtype=np.int64), count, F(1, 10))
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([0, 1, 2, 3], [Edit(F(1), F(14, 10), F(-1))]),
        ([2, 3, 4], [Edit(F(12, 10), F(15, 10), F(-12, 10))]),
        ([2, 3, 4, 3, 2], [Edit(F(12, 10), F(15, 10), F(-12, 10))]),
        ([2, 3, 2, 3], [Edit(F(12, 10), F(14, 10), F(-12, 10))]),
        ([3, 4, 4, 4], [Edit(F(13, 10), F(15, 10), F(-13, 10))]),
        ([0, 0, 0, 1, 2], [Edit(F(8, 10), F(13, 10), F(-8, 10))]),
        ([0, 1, 4, 5], [Edit(F(1), F(12, 10), F(-1)), Edit(F(14, 10), F(16, 10), F(-12, 10))]),
        ([3, 3, 3], []),
        ([0, 1, 1, 2], [Edit(F(1), F(12, 10), F(-1)), Edit(F(11, 10), F(13, 10), F(-9, 10))]),
        ([0, 1, 1, 2, 2], [Edit(F(1), F(12, 10), F(-1)), Edit(F(11, 10), F(13, 10), F(-9, 10))]),
    ],
    ids=["whole", "cut", "pingpong", "loop", "hold", "lead", "skipped", "static", "twice", "twice, and hold"],
)
def test_the_sources_clock_runs_until_its_pictures_are_repeated(source, expected):
    """What extends a video, and pictures that were left out, take no time of the source with them."""
    assert list(_edits(8, source)) == expected


def test_what_spans_a_frame_that_is_shown_twice_is_longer_by_it():
    """A text that begins before it ends a frame later; one that begins after it begins a frame later."""
    edits = _edits(8, [0, 1, 1, 2, 3])
    assert in_output(edits, F(1), F(13, 10)) == (F(0), F(4, 10))
    assert in_output(edits, F(12, 10), F(13, 10)) == (F(3, 10), F(4, 10))
    assert in_output(edits, F(1), F(11, 10)) == (F(0), F(1, 10))


@pytest.mark.parametrize("factor", [F(5, 4), F(4, 5), F(101, 100)])
def test_what_is_shown_at_another_speed_takes_its_times_with_it(factor: F):
    """Where frames are shown for longer or less long, times of the source are off by 20 ms at most."""
    frames = 400
    pts = (np.arange(frames + 1) * 10 * float(factor)).round().astype(np.int64)
    edits = edits_of(_index(frames), np.arange(frames), Timeline(pts[:-1], int(pts[-1]), F(1, 100)))
    for second in range(1, 40):
        moment = F(second) + F(1, 3)
        (begin, _) = in_output(edits, moment, moment) or (F(-1), F(-1))
        assert abs(begin - (moment - 1) * factor) <= F(2, 100) + F(1, 100), second


def test_what_spans_a_gap_is_shorter_by_it():
    """A text that is shown over pictures that were left out loses their time; one inside them is gone."""
    edits = _edits(8, [0, 1, 4, 5])
    assert in_output(edits, F(11, 10), F(15, 10)) == (F(1, 10), F(3, 10))
    assert in_output(edits, F(12, 10), F(14, 10)) is None
    assert in_output(edits, F(0), F(9)) == (F(0), F(4, 10))
    assert in_output(edits, F(14, 10), F(14, 10)) == (F(2, 10), F(2, 10))
    assert in_output(edits, F(13, 10), F(13, 10)) is None
    assert in_output((), F(0), F(1)) is None


@given(st.integers(0, 5_000_000), st.integers(0, 3_000_000), st.sampled_from(["30000/1001", "60000/1001", "25", "24"]))
def test_frames_add_up_in_a_time_code(first, more, rate):
    """Two steps are one, whether frame numbers are dropped or not, and a dropped number never shows."""
    rate = F(rate)
    start = "00:00:00;00" if rate.denominator > 1 else "00:00:00:00"
    there = timecode_after(start, first, rate)
    assert there is not None
    assert timecode_after(there, more, rate) == timecode_after(start, first + more, rate)
    minutes, seconds, number = (int(there[place : place + 2]) for place in (3, 6, 9))
    dropped = 0 if ";" not in start else 2 if rate < 40 else 4
    assert minutes % 10 == 0 or seconds or number >= dropped


def test_time_codes_of_known_places():
    """The tenth minute keeps its numbers, a day ends, and what is no time code is not made one."""
    ntsc = F(30000, 1001)
    assert timecode_after("00:00:59;29", 1, ntsc) == "00:01:00;02"
    assert timecode_after("00:09:59;29", 1, ntsc) == "00:10:00;00"
    assert timecode_after("00:00:00;00", 107_892, ntsc) == "01:00:00;00"
    assert timecode_after("00:00:59.29", 1, ntsc) == "00:01:00;02"
    assert timecode_after("23:59:59:24", 1, F(25)) == "00:00:00:00"
    assert timecode_after("00:00:00:05", -6, F(25)) == "23:59:59:24"
    assert timecode_after("01:00:00:25", 0, F(25)) is None
    assert timecode_after("1 hour", 0, F(25)) is None


def test_languages_by_the_containers_letters():
    """Matroska takes the bibliographic code, MP4 the terminological one, MOV what its list has."""
    assert [container_language("de", name) for name in ("matroska", "mp4", "mov")] == ["ger", "deu", "ger"]
    assert [container_language("pt-BR", name) for name in ("webm", "mp4", "mov")] == ["por"] * 3
    assert container_language("fre", "mov") == "fra"
    assert container_language("sv", "mov") is None
    assert container_language("my own", "mp4") is None
