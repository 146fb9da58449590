"""Plain lines of a run where standard error is no terminal."""

from __future__ import annotations

import pytest

from lipwise_ray.cli import progress
from lipwise_ray.runs.progress_events import ManifestRead, RowEnded, RowProgress, RowsProgress
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
