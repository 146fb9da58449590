"""Windows of frames: each frame is shown by one, which is picked by time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.latentsync import LATENTSYNC_FRAMES
from lipwise_ray.values import Span


@pytest.mark.parametrize(
    ("rate", "apart"),
    [("12", 1), ("24000/1001", 1), ("25", 1), ("30000/1001", 1), ("50", 2), ("60000/1001", 2), ("120", 5)],
)
def test_windows_are_picked_by_time(rate: str, apart: int) -> None:
    """Frames of a window are as near to 40 ms apart as those of the video can be, and as many at every rate."""
    windows = LATENTSYNC_FRAMES.at(Fraction(rate))
    first, *_ = windows.of(3)
    assert len(first) == 16
    assert first.step == apart
    assert FRAME_BY_FRAME.at(Fraction(rate)).apart == 1


@given(st.integers(1, 20), st.integers(0, 19), st.integers(1, 120), st.integers(0, 500))
def test_each_frame_is_shown_by_one_window(length: int, overlap: int, rate: int, number: int) -> None:
    """Whatever windows have in common, each frame is shown once, by a window that takes it, about in its middle."""
    windows = FrameWindow(length, min(overlap, length - 1), Fraction(25)).at(Fraction(rate))
    group = windows.group_of(number)
    assert windows.shown(group).start <= number < windows.shown(group).stop
    taking = [window for window in windows.of(group) if number in window]
    assert len(taking) == 1
    assert len(taking[0]) == length
    place = taking[0].index(number)
    assert windows.overlap // 2 <= place < length - (windows.overlap - windows.overlap // 2)
    assert sorted(one for window in windows.of(group) for one in window) == [
        *range(windows.taken(group).start, windows.taken(group).stop)
    ]


@given(st.integers(0, 200), st.integers(1, 60), st.integers(0, 15), st.integers(1, 120))
def test_a_chunk_reads_whole_windows(start: int, frames: int, overlap: int, rate: int) -> None:
    """What is read for some frames is what the windows of all of them take, and no window more."""
    windows = FrameWindow(16, overlap, Fraction(25)).at(Fraction(rate))
    around = windows.around(Span(start, start + frames))
    groups = {windows.group_of(number) for number in range(start, start + frames)}
    taken = [windows.taken(group) for group in groups]
    assert around == Span(min(one.start for one in taken), max(one.stop for one in taken))
