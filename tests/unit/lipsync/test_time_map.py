"""Time maps: where an output shows the times of a video of which parts are shown for longer or less long."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwise_ray.lipsync.fitted_frames import moved_sequence
from lipwise_ray.lipsync.lengths import SourceClock
from lipwise_ray.lipsync.time_map import TimeMap, VideoStretch
from lipwise_ray.values import round_half_up

RATES = st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)])


@st.composite
def stretches(draw: st.DrawFn, least_ms: int = 1) -> list[VideoStretch]:
    """Parts of a video in the order of their times, some of which touch."""
    found: list[VideoStretch] = []
    at_ms = 0
    for _ in range(draw(st.integers(0, 6))):
        start_ms = at_ms + draw(st.one_of(st.just(0), st.integers(0, 3000)))
        at_ms = start_ms + draw(st.integers(least_ms, 3000))
        factor = draw(st.fractions(Fraction(1, 2), 2, max_denominator=100))
        start_s, stop_s = Fraction(start_ms, 1000), Fraction(at_ms, 1000)
        found.append(VideoStretch(start_s, stop_s, (stop_s - start_s) * factor))
    return found


@settings(max_examples=50)
@given(stretches(), st.lists(st.fractions(0, 30, max_denominator=1000), min_size=2))
def test_times_rise_and_parts_are_shown_for_their_lengths(found: list[VideoStretch], times: list[Fraction]) -> None:
    """Each part lasts exactly as long as it has to, what is between as long as before; floats say the same."""
    time_map = TimeMap.of(found)
    assert time_map.moved_s(Fraction(0)) == 0
    for stretch in found:
        assert time_map.moved_s(stretch.stop_s) - time_map.moved_s(stretch.start_s) == stretch.shown_s
    for one, other in pairwise(found):
        assert time_map.moved_s(other.start_s) - time_map.moved_s(one.stop_s) == other.start_s - one.stop_s
    rising = sorted(set(times))
    moved = [time_map.moved_s(time_s) for time_s in rising]
    assert all(one < other for one, other in pairwise(moved))
    floats = time_map.moved(np.array([float(time_s) for time_s in rising]))
    assert np.abs(floats - np.array([float(time_s) for time_s in moved])).max() < 1e-9


@settings(max_examples=50)
@given(stretches(least_ms=200), RATES, st.integers(1, 250))
def test_frames_of_a_constant_rate_go_where_their_times_go(
    found: list[VideoStretch], rate: Fraction, frames: int
) -> None:
    """As many frames as the moved length says; between parts each once, half a frame from its time at the most."""
    clock, time_map = SourceClock(np.ones(frames, np.int64), 1 / rate, rate), TimeMap.of(found)
    sequence = moved_sequence(clock, time_map, np.ones(frames, np.int64))
    wanted_s = time_map.moved_s(clock.total_s)
    assert abs(sequence.end_pts / rate - wanted_s) <= 1 / (2 * rate) or sequence.end_pts == 1
    assert sequence.pts.tolist() == list(range(sequence.end_pts))
    assert (np.diff(sequence.source) >= 0).all()
    at_own_speed = [
        frame
        for frame in range(frames)
        if all((frame + 1) / rate <= one.start_s or frame / rate >= one.stop_s + 1 / rate for one in found)
    ]
    for frame in at_own_speed[:-1]:
        (shown,) = np.flatnonzero(sequence.source == frame)
        assert abs(int(shown) / rate - time_map.moved_s(frame / rate)) <= 1 / (2 * rate)
    for stretch in found:
        first = np.flatnonzero(sequence.source >= round_half_up(stretch.start_s * rate))
        if len(first) and stretch.start_s * rate < frames - 1:
            assert abs(int(first[0]) / rate - time_map.moved_s(stretch.start_s)) <= 1 / rate


@settings(max_examples=50)
@given(stretches(), RATES, st.integers(1, 300))
def test_parts_shorter_than_a_frame_lose_no_time(found: list[VideoStretch], rate: Fraction, frames: int) -> None:
    """The length stays exact, and frames never run back."""
    clock, time_map = SourceClock(np.ones(frames, np.int64), 1 / rate, rate), TimeMap.of(found)
    sequence = moved_sequence(clock, time_map, np.zeros(frames, np.int64))
    assert len(sequence.source) == sequence.end_pts
    assert abs(sequence.end_pts / rate - time_map.moved_s(clock.total_s)) <= 1 / (2 * rate) or sequence.end_pts == 1
    assert (np.diff(sequence.source) >= 0).all()
    assert 0 <= sequence.source[0] <= sequence.source[-1] < frames


@settings(max_examples=50)
@given(stretches(), st.lists(st.integers(1, 3000), min_size=1, max_size=60))
def test_frames_of_a_variable_rate_are_shown_at_their_moved_times(
    found: list[VideoStretch], durations: list[int]
) -> None:
    """To the tick; one is left out only where the next begins in the same tick."""
    clock, time_map = SourceClock(np.array(durations, np.int64), Fraction(1, 1000), None), TimeMap.of(found)
    sequence = moved_sequence(clock, time_map, np.ones(len(durations), np.int64))
    begins = np.cumsum(durations) - durations
    assert sequence.pts[0] == 0
    assert (np.diff(np.append(sequence.pts, sequence.end_pts)) > 0).all()
    assert abs(sequence.end_pts - time_map.moved_s(clock.total_s) * 1000) <= Fraction(1, 2) or sequence.end_pts == 1
    for frame, pts in zip(sequence.source.tolist(), sequence.pts.tolist(), strict=True):
        assert abs(pts - time_map.moved_s(Fraction(int(begins[frame]), 1000)) * 1000) <= Fraction(1, 2)
    if min(durations) >= 4:
        assert len(sequence.source) == len(durations)


def test_frames_are_shown_twice_where_it_shows_least_within_their_part() -> None:
    """A cheap frame outside of the part is shown once all the same."""
    clock = SourceClock(np.ones(100, np.int64), Fraction(1, 25), Fraction(25))
    cost = np.ones(100, np.int64)
    cost[[10, 45, 90]] = 0
    time_map = TimeMap.of([VideoStretch(Fraction(1), Fraction(2), Fraction(26, 25))])
    sequence = moved_sequence(clock, time_map, cost)
    assert np.flatnonzero(np.bincount(sequence.source) == 2).tolist() == [45]
