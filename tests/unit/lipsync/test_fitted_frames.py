"""Which frames are shown twice or left out, so that a video lasts as long as something else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.lipsync.fitted_frames import fitted, fitted_sequence
from lipwise_ray.lipsync.lengths import SourceClock

BLOCK = 25
LENGTHS = st.integers(1, 400)


@st.composite
def fits(draw: st.DrawFn, least: Fraction, most: Fraction) -> tuple[int, int, np.ndarray]:
    """Numbers of source and output frames within some factors, and costs."""
    frames = draw(LENGTHS)
    count = draw(st.integers(max(1, -(-frames * least // 1)), max(1, int(frames * most))))
    cost = draw(st.lists(st.integers(0, 3), min_size=frames, max_size=frames))
    return frames, count, np.array(cost, np.int64)


@given(fits(Fraction(1, 3), Fraction(3)))
def test_the_count_is_exact_and_frames_never_run_back(fit: tuple[int, int, np.ndarray]) -> None:
    """As many frames as were wanted, in the source's order, each as often as its neighbours or once more or less."""
    frames, count, cost = fit
    source = fitted(frames, count, cost, BLOCK)
    assert len(source) == count
    assert (np.diff(source) >= 0).all()
    times = np.bincount(source, minlength=frames)
    assert len(times) == frames
    assert times.max() - times.min() <= 1


@given(fits(Fraction(4, 5), Fraction(5, 4)))
def test_within_the_usual_bound_no_two_frames_side_by_side_are_taken(fit: tuple[int, int, np.ndarray]) -> None:
    """Neither are neighbours shown twice, nor is a hole longer than a frame, whatever frames cost."""
    frames, count, cost = fit
    times = np.bincount(fitted(frames, count, cost, BLOCK), minlength=frames)
    taken = np.flatnonzero(times != 1)
    assert len(taken) == abs(count - frames)
    assert (np.diff(taken) > 1).all() or frames < BLOCK


@given(fits(Fraction(4, 5), Fraction(5, 4)))
def test_the_pace_is_even(fit: tuple[int, int, np.ndarray]) -> None:
    """No frame is shown further from its even place than what a block of frames gains or loses."""
    frames, count, cost = fit
    source = fitted(frames, count, cost, BLOCK)
    even = np.arange(count) * frames / count
    quota = abs(count - frames) / max(1, frames // BLOCK) + 2
    assert np.abs(source - even).max() <= quota


def test_cuts_come_first_then_pauses() -> None:
    """Of each second, frames at its cut and then in its pause are taken, others only where there are none."""
    cost = np.full(100, 3, np.int64)
    cost[10:20], cost[40:42], cost[60:70] = 1, 0, 1
    times = np.bincount(fitted(100, 104, cost, BLOCK), minlength=100)
    taken = np.flatnonzero(times == 2)
    assert len(taken) == 4
    assert 10 <= taken[0] < 20
    assert taken[1] in (40, 41)
    assert 60 <= taken[2] < 70
    left_out = set(range(100)) - set(fitted(100, 96, cost, BLOCK).tolist())
    assert left_out == set(taken.tolist())


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30000, 1001)])
def test_a_constant_rate_stays(rate: Fraction) -> None:
    """The output has the source's rate, and as many frames as were wanted."""
    clock = SourceClock(np.ones(240, np.int64), 1 / rate, rate)
    sequence = fitted_sequence(clock, 288, np.ones(240, np.int64))
    assert sequence.pts.tolist() == list(range(288))
    assert sequence.end_pts == 288
    assert sequence.source[[0, -1]].tolist() == [0, 239]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=80), st.fractions(Fraction(1, 2), 2))
def test_a_variable_rate_is_stretched_exactly(durations: list[int], factor: Fraction) -> None:
    """Every frame is shown at its time times the factor, to the tick; none is lost while there are ticks enough."""
    clock = SourceClock(np.array(durations, np.int64), Fraction(1, 1000), None)
    total = sum(durations)
    wanted = max(1, round(total * factor))
    sequence = fitted_sequence(clock, wanted, np.ones(len(durations), np.int64))
    assert sequence.end_pts == wanted
    assert sequence.pts[0] == 0
    assert (np.diff(np.append(sequence.pts, wanted)) >= 1).all()
    if min(durations) * factor >= 2:
        assert sequence.source.tolist() == list(range(len(durations)))
        ideal = (np.cumsum(durations) - durations) * (wanted / total)
        assert np.abs(sequence.pts - ideal).max() <= 0.5 + 1e-6
