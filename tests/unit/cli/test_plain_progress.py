"""Plain lines of a run where standard error is no terminal."""

from __future__ import annotations

import pytest

from lipwise_ray.cli import progress
from lipwise_ray.runs.progress_events import ManifestRead, RowEnded, RowProgress, RowsProgress, RunEnded
from lipwise_ray.runs.report import Report
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome


def test_a_line_names_rows_at_work_and_none_comes_after_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a row moves it ends where they would stand; once all rows have ended, nothing is left to tell."""
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)
    display = progress.Display(as_json=False)
    display(ManifestRead(1))
    display(RowsProgress((), 1))
    display(RowsProgress((RowProgress("a", "rendering", 5, 9, 5, "job"),), 0))
    display(RowEnded(RowOutcome(row=2, row_id="a", result=RowFailure(code="no_face", message="none"))))
    display(RowsProgress((), 0))
    assert capsys.readouterr().err.splitlines() == [
        "0/1 rows, 0.0 frames/s, 1 workers load their models",
        "0/1 rows, 0.0 frames/s: a rendering 5/9",
        "FAILED a: none",
    ]


def test_places_are_a_line_each_whatever_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder whose name holds the end of a line makes no line that reads as another one."""
    report = Report("r", 1, 0, 0, 1.0, 5, 1, 0, out="a\nerror: b", state="s\n", page="p\n")
    progress.Display(as_json=False)(RunEnded(report))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "outputs: a\\nerror: b",
        "state:   s\\n",
        "report:  p\\n",
    ]
