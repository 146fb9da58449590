"""What a program and a log get to know of a run."""

from __future__ import annotations

import logging

import pytest

from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.runs.progress_events import (
    Event,
    EventListener,
    Message,
    Note,
    Problem,
    RowEnded,
    RowsProgress,
    RowStarted,
    RunEnded,
    RunStarted,
    logged,
)
from lipwise_ray.runs.report import Report
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.row_outcome import RowOutcome
from tests.support.tasks import row_part

FAILED = RowOutcome(row=2, row_id="ep1", result=RowFailure(code="no_audio", message="https://h/v?sig=c0ffee: none"))


def _levels(caplog: pytest.LogCaptureFixture, *events: Event) -> list[tuple[str, str]]:
    heard: list[Event] = []
    with caplog.at_level(logging.DEBUG, "lipwise_ray"):
        for event in events:
            logged(heard.append)(event)
    assert heard == [*events]
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_log_has_a_line_for_what_people_look_for(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with the whole run is an error, how far rows are is no line; the function hears all of it."""
    report = Report("run1", 3, 1, 0, 9.0, 100, 4, 0)
    lines = _levels(
        caplog,
        RunStarted("run1", "this process, CPU", 4),
        RowStarted(2, "ep1"),
        RowsProgress((), 1),
        Note("tiny_judge was made for drawn faces"),
        Message("a.csv: 4 rows"),
        Problem("no worker begins"),
        RunEnded(report),
    )
    assert [level for level, _ in lines] == ["INFO", "DEBUG", "INFO", "INFO", "ERROR", "INFO"]
    assert "3 done, 1 failed, 0 left" in lines[-1][1]


def test_a_row_that_failed_is_a_warning_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    """And one that is done says where its output is; a log without them would not tell which rows are lost."""
    done = DubResult(job_id="j", output="/out/ep2.mp4", frames=9, chunks=1, bytes_total=5, sha256="d" * 64)
    lines = _levels(caplog, RowEnded(FAILED), RowEnded(RowOutcome(row=3, row_id="ep2", result=done)))
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert "ep1 failed [no_audio]" in lines[0][1]
    assert "c0ffee" not in lines[0][1]
    assert "/out/ep2.mp4" in lines[1][1]


def test_a_log_holds_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Signatures of addresses are cut from lines, wherever they came from."""
    lines = _levels(caplog, Problem("https://user:hunter2@host/x"), Note("https://h/v?sig=c0ffee"))
    assert len(lines) == 2
    assert not any(secret in line for _, line in lines for secret in ("c0ffee", "hunter2"))


def test_progress_counts_frames_in_flight_and_never_too_many() -> None:
    """Frames that workers have done but not given back count; those rendered are told beside those of the stage."""
    heard: list[Event] = []
    listener = EventListener(heard.append, 7)
    flow = RowFlow(0, 0, 0, "", row_part())
    flow.progress.stage, flow.progress.todo, flow.progress.done = "rendering", 100, 40
    flow.tally.frames_rendered = 40
    listener.run_started("run1", "ray")
    listener.tick([("ep1", flow, 25), ("ep2", flow, 90)], 2)
    started, told = heard
    assert isinstance(started, RunStarted)
    assert started.rows == 7
    assert isinstance(told, RowsProgress)
    assert told.loading == 2
    assert [(row.frames_done, row.frames_total, row.frames_rendered) for row in told.rows] == [
        (65, 100, 65),
        (100, 100, 130),
    ]
