"""What a row's start and end leave of its video."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.trim import shown_ticks, used_frames


def _index(steps_ms: list[int], rate: Fraction | None = None, first: int = 0) -> FrameIndex:
    pts = first + np.cumsum([0, *steps_ms[:-1]]).astype(np.int64)
    end = int(pts[-1]) + steps_ms[-1]
    return FrameIndex(pts, np.ones(len(pts), bool), pts, np.zeros(0, np.int64), end, Fraction(1, 1000), rate)


FIXED = _index([40] * 100, Fraction(25), first=500)
SLIDES = _index([40, 3000, 40, 2000])


@pytest.mark.parametrize(
    ("start_s", "end_s", "frames"),
    [
        (0.0, None, range(100)),
        (1.0, 2.0, range(25, 50)),
        (0.3333, 0.6667, range(9, 17)),
        (3.96, None, range(99, 100)),
        (0.0, 0.002, range(1)),
    ],
)
def test_frames_at_a_constant_rate_are_those_that_begin_in_the_range(
    start_s: float, end_s: float | None, frames: range
) -> None:
    """Counted from the first frame's own time; a decimal that was rounded by a millisecond loses no frame."""
    assert used_frames(FIXED, start_s, end_s).tolist() == list(frames)


def test_a_slide_that_is_on_at_the_start_is_used_for_what_is_left_of_it() -> None:
    """At a variable rate the frame that is shown then comes first, and the last one ends with the range."""
    used = used_frames(SLIDES, 1.0, 4.0)
    assert used.tolist() == [1, 2, 3]
    assert shown_ticks(SLIDES, used, 1.0, 4.0).tolist() == [2040, 40, 920]
    whole = used_frames(SLIDES, 0.0, None)
    assert shown_ticks(SLIDES, whole, 0.0, None).tolist() == [40, 3000, 40, 2000]


@pytest.mark.parametrize(("start_s", "end_s"), [(9.0, None), (4.0, 9.0), (2.0, 1.0)])
def test_a_range_that_leaves_nothing_says_how_long_the_video_is(start_s: float, end_s: float | None) -> None:
    """Behind the end, and the wrong way round."""
    with pytest.raises(InputError, match=r"of a video of 4\.00 s") as caught:
        used_frames(FIXED, start_s, end_s)
    assert caught.value.code == "empty_range"
