"""The time that is left, by frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lipwise_ray.cli.time_left import in_words
from lipwise_ray.runs.progress_events import RowProgress, RowsProgress
from lipwise_ray.runs.remaining_time import RemainingTime
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.row_outcome import RowOutcome

RENDERING = RowProgress(id="a", stage="rendering", frames_done=100, frames_total=400, frames_rendered=100)
DONE = DubResult(job_id="b", output="/out/b.mp4", frames=200, chunks=1, bytes_total=5, sha256="0" * 64)


def _outcome(result: DubResult | RowFailure) -> RowOutcome:
    return RowOutcome(row=2, row_id="b", result=result)


def test_what_is_known_counts_by_its_frames_and_the_rest_by_their_mean() -> None:
    """One row is done with 200 frames, one has 300 of 400 to go, and two more are taken for 300 each."""
    remaining = RemainingTime(4)
    remaining.row_ended(_outcome(DONE))
    assert remaining.seconds(RowsProgress((RENDERING,), 0), 10.0) == pytest.approx((300 + 2 * 300) / 10)
    scoring = replace(RENDERING, id="c", stage="scoring", frames_done=0)
    assert remaining.seconds(RowsProgress((RENDERING, scoring), 0), 10.0) == pytest.approx((300 + 300) / 10)


def test_nothing_is_told_that_nobody_knows() -> None:
    """Before a frame was rendered, while no row's frames are known, and by a row that failed."""
    remaining = RemainingTime(3)
    scanning = replace(RENDERING, stage="scanning")
    assert remaining.seconds(RowsProgress((RENDERING,), 0), 0.0) is None
    assert remaining.seconds(RowsProgress((replace(scanning, frames_rendered=0),), 0), 5.0) is None
    remaining.row_ended(_outcome(RowFailure(code="no_face", message="none")))
    assert remaining.seconds(RowsProgress((), 0), 5.0) is None


def test_words_are_no_finer_than_an_estimate() -> None:
    """Seconds, minutes, hours."""
    assert [in_words(seconds) for seconds in (0.2, 42.4, 200, 7300)] == [
        "about 1 s left",
        "about 42 s left",
        "about 3 min left",
        "about 2 h 2 min left",
    ]
