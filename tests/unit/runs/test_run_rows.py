"""A run from settings to its report: what is told on the way, and what remains to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import InputError, LipwiseError, SetupError, StorageError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.runs.progress_events import Event, ManifestRead, Problem, RowEnded, RowStarted, RunEnded, RunStarted
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.run_rows import RowsRunner, error_of
from lipwise_ray.runs.single_row import single_row
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.local import LocalStore
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import INLINE, LOSSLESS, PASSTHROUGH, UNJUDGED

BOX = "box:60,110,50,110"


def _runner(heard: list[Event], models: Path) -> RowsRunner:
    settings = load_settings(assignments=[INLINE, PASSTHROUGH, UNJUDGED, LOSSLESS])
    return RowsRunner(settings, models, heard.append, lambda: False)


def test_a_row_that_is_named_in_code_is_dubbed_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step comes once and in order; the report finds its rows in the state, and their outputs are there."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le"))
    columns = {"video": "v.mp4", "audio": "s.wav", "output": "ep 1.mkv", "faces": BOX, "language": None}
    manifest = single_row(columns, str(tmp_path / "out"), ["quality"])
    heard: list[Event] = []
    runner = _runner(heard, tmp_path / "no-models")
    report = runner.dub(manifest, str(tmp_path / "out"), str(tmp_path / "state"))
    report = runner.end(report)
    kinds = [type(event) for event in heard if isinstance(event, ManifestRead | RunStarted | RowStarted | RowEnded)]
    assert kinds == [ManifestRead, RunStarted, RowStarted, RowEnded]
    assert heard[-1] == RunEnded(report)
    (row,) = report.rows
    assert (row.row_id, row.status, report.exit_code) == ("ep_1", "done", ExitCode.DONE)
    assert (tmp_path / "out" / "ep 1.mkv").is_file()
    assert Path(report.page).is_file()


def test_a_report_that_cannot_be_written_does_not_undo_the_run(tmp_path: Path) -> None:
    """What was done stays done: the run ends as it would, and the problem is told."""
    (tmp_path / "file").touch()
    heard: list[Event] = []
    report = Report("run1", 1, 0, 0, 1.0, 10, 1, 0, state=str(tmp_path / "state"))
    ended = _runner(heard, tmp_path).end(report, tmp_path / "file" / "folder")
    assert ended.page == ""
    problem, last = heard
    assert isinstance(problem, Problem)
    assert "the report was not written" in problem.text
    assert last == RunEnded(ended)
    heard.clear()
    _runner(heard, tmp_path).end(report, writes_page=False)
    assert heard == [RunEnded(report)]


def test_a_fault_of_the_report_comes_after_what_the_run_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of the program is not hidden, and which rows are done is told before it."""

    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("lipwise_ray.reports.write.write_report", fail)
    LocalStore(tmp_path / "state")
    heard: list[Event] = []
    report = Report("run1", 1, 0, 0, 1.0, 10, 1, 0, state=str(tmp_path / "state"))
    with pytest.raises(ZeroDivisionError):
        _runner(heard, tmp_path).end(report)
    assert heard == [RunEnded(report)]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"stage": "validate", "blame": "setup"}, SetupError),
        ({"blame": "input"}, InputError),
        ({"blame": "setup"}, SetupError),
        ({"blame": "storage"}, StorageError),
        ({"blame": "crash"}, LipwiseError),
    ],
)
def test_a_row_that_failed_raises_what_says_who_is_to_blame(record: dict[str, Any], kind: type[LipwiseError]) -> None:
    """With the code and the words of its record, for a program that dubs a single video."""
    error = error_of(RowOutcome(row=1, row_id="a", result=RowFailure(code="gone", message="it went away", **record)))
    assert type(error) is kind
    assert error.code == "gone"
    assert (error.got, str(error)) == ("it went away", "it went away.")


@pytest.mark.parametrize(
    ("counts", "fail_above", "code"),
    [
        ((9, 1, 0), 0.0, ExitCode.ROWS_FAILED),
        ((9, 1, 0), 0.1, ExitCode.DONE),
        ((9, 0, 1), 1.0, ExitCode.STOPPED),
        ((0, 0, 0), 0.0, ExitCode.DONE),
    ],
)
def test_a_report_says_what_the_command_ends_with(
    counts: tuple[int, int, int], fail_above: float, code: ExitCode
) -> None:
    """Rows that are left count more than rows that failed; some may fail where that is allowed."""
    assert Report("r", *counts, 1.0, 0, 0, 0).code_above(fail_above) is code
