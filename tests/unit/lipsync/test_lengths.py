from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.lipsync.lengths import SourceClock, extended, output_sequence

RATES = st.sampled_from(
    [
        Fraction(24000, 1001),
        Fraction(24),
        Fraction(25),
        Fraction(30000, 1001),
        Fraction(50),
        Fraction(60),
        Fraction(2252800, 90643),
    ]
)
EXTENDS = st.sampled_from(["pingpong", "loop", "hold"])


def _clock(frames: int, rate: Fraction) -> SourceClock:
    return SourceClock(np.ones(frames, np.int64), 1 / rate, rate)


@given(RATES, st.integers(1, 500), st.fractions(Fraction(1, 16000), 400), EXTENDS)
def test_a_constant_rate_has_round_of_duration_times_rate(
    rate: Fraction, frames: int, audio_s: Fraction, extend
) -> None:
    """The count is the nearest whole number of frames, never a few less, and sound and picture agree."""
    sequence = output_sequence(_clock(frames, rate), audio_s, "audio", extend)
    count = len(sequence.source)
    assert count == max(1, int(audio_s * rate + Fraction(1, 2)))
    assert abs(Fraction(sequence.end_pts) / rate - audio_s) < 1 / rate
    assert sequence.source.min() >= 0
    assert sequence.source.max() < frames
    head = min(count, frames)
    assert sequence.source[:head].tolist() == list(range(head))


@given(RATES, st.integers(1, 300), st.fractions(Fraction(1, 100), 30))
def test_the_other_rules(rate: Fraction, frames: int, audio_s: Fraction) -> None:
    """`video` shows the source once; `shortest` is the shorter of both, `longest` the longer."""
    assert output_sequence(_clock(frames, rate), audio_s, "video", "loop").source.tolist() == list(range(frames))
    shortest = len(output_sequence(_clock(frames, rate), audio_s, "shortest", "loop").source)
    assert shortest == max(1, min(frames, int(audio_s * rate + Fraction(1, 2))))
    longest = len(output_sequence(_clock(frames, rate), audio_s, "longest", "hold").source)
    assert longest == max(frames, int(audio_s * rate + Fraction(1, 2)))


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.fractions(Fraction(1, 100), 20), EXTENDS)
def test_a_variable_rate_ends_with_the_sound(durations: list[int], audio_s: Fraction, extend) -> None:
    """Frames keep their durations, the last one ends with the sound, and none begins after it."""
    clock = SourceClock(np.array(durations, np.int64), Fraction(1, 1000), None)
    sequence = output_sequence(clock, audio_s, "audio", extend)
    wanted = max(1, int(audio_s * 1000 + Fraction(1, 2)))
    assert sequence.end_pts == wanted
    assert sequence.pts[0] == 0
    assert sequence.pts[-1] < wanted
    steps = np.diff(sequence.pts)
    assert (steps > 0).all()
    if extend != "hold":
        assert steps.tolist() == [durations[n] for n in sequence.source[:-1]]
        assert wanted - sequence.pts[-1] <= durations[sequence.source[-1]]


def test_a_slow_end_frame_does_not_shorten_pingpong() -> None:
    """Long first and last frames, which pingpong shows half as often, still fill the whole sound."""
    clock = SourceClock(np.array([1000, *[1] * 8, 1000], np.int64), Fraction(1, 1000), None)
    sequence = output_sequence(clock, Fraction(100), "audio", "pingpong")
    assert sequence.end_pts == 100_000
    assert set(np.diff(sequence.pts).tolist()) == {1, 1000}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("pingpong", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_how_a_short_source_goes_on(rule, expected: list[int]) -> None:
    """Back and forth without showing an end twice, again from the start, or standing still."""
    assert extended(4, 11, rule).tolist() == expected
    assert extended(1, 3, rule).tolist() == [0, 0, 0]


def test_seventy_minutes_do_not_overflow() -> None:
    """The index of a frame after 70 minutes at 60 frames a second is exact."""
    source = extended(1001, 70 * 60 * 60, "pingpong")
    place = len(source) - 1
    folded = place % 2000
    assert source[-1] == (folded if folded <= 1000 else 2000 - folded)
