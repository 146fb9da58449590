"""A comparison of lip models, before anything is started, and its exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.compared_models import files_columns, model_columns
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.sweep import Sweep, SweepReport, SweptColumn, SweptVideo, evaluated_row
from lipwise_ray.runs.sweep_report import write_sweep
from lipwise_ray.state.store import LocalStore

RUN = Report("r", done=3, failed=1, left=0, seconds=1.0, frames=9, chunks_rendered=1, chunks_reused=0)


def _sweep(folder: Path, *assignments: str, rows: str = "id,video,audio,output\na,v.mp4,v.mp4,a.mp4\n") -> Sweep:
    (folder / "v.mp4").touch()
    manifest = folder / "rows.csv"
    manifest.write_text(rows)
    source = load_settings(assignments=assignments)
    out = str(folder / "out")
    return Sweep(str(manifest), source, out, f"{out}.state", folder / "models", lambda _: None, lambda: False)


def test_a_checkpoint_of_all_models_is_refused(tmp_path: Path) -> None:
    """Which of the models it is meant for, nobody could tell."""
    with pytest.raises(SettingsError, match=r"LABEL=NAME@FILE"):
        _sweep(tmp_path, 'lipsync.checkpoint="a.pth"').run(model_columns("wav2lip,musetalk_15"))


def test_a_folder_without_a_file_of_any_row_is_refused_before_work(tmp_path: Path) -> None:
    """Hours of dubbing would be spent before a slip of the pen shows."""
    (tmp_path / "echo").mkdir()
    columns = [*model_columns("wav2lip"), *files_columns([f"echo={tmp_path / 'echo'}"])]
    with pytest.raises(SettingsError, match="no video of any row"):
        _sweep(tmp_path).run(columns)
    assert not (tmp_path / "out.state").exists()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("tiny_generator,late=wav2lip", "--models late: .*not installed"),
        ("tiny_generator,wav2lip_gun", '--models wav2lip_gun: unknown model .* did you mean "wav2lip_gan"'),
        ("tiny_generator,mine=lost.pth", "--models mine: .*lost.pth"),
    ],
)
def test_a_model_that_is_not_here_is_told_before_work(tmp_path: Path, models: str, message: str) -> None:
    """Whichever column it is: the first ones may take hours."""
    quick = ('detect.detector="tiny"', 'restore.model="none"', 'score.judge="none"', 'lipsync.vad="none"')
    with pytest.raises(WeightsError, match=message):
        _sweep(tmp_path, *quick).run(model_columns(models))
    assert not (tmp_path / "out.state").exists()


def test_a_row_with_a_model_of_its_own_is_refused(tmp_path: Path) -> None:
    """It would look the same in all columns, and pass for a comparison."""
    rows = "id,video,audio,output,lipsync.model\na,v.mp4,v.mp4,a.mp4,tiny_generator\n"
    with pytest.raises(SettingsError, match=r"line 2 .*names a lip model"):
        _sweep(tmp_path, rows=rows).run(model_columns("wav2lip,passthrough"))


@pytest.mark.parametrize(
    ("own", "of_run", "start_s", "judged"),
    [
        ("left", "largest", 0.0, "left"),
        (None, "index:1", 0.0, "index:1"),
        ("speaking", "left", 0.0, "largest"),
        (None, "like:/a.png", 0.0, "largest"),
        ("at:0,5,5", "left", 0.0, "at:0,5,5"),
        ("at:0,5,5", "left", 2.0, "largest"),
    ],
)
def test_the_face_is_measured_that_was_dubbed(own: str | None, of_run: str, start_s: float, judged: str) -> None:
    """By the row's rule or the run's; by the largest face where a finished file does not tell who it was."""
    overrides = {"faces": {"select": own}} if own else {}
    row = Row(2, "a", "/v.mp4", "/s.wav", "a.mp4", start_s=start_s, overrides=overrides)
    assert evaluated_row(row, SweptVideo("/out/a.mp4", None, is_alike=False), of_run)["faces"] == judged


def test_failed_rows_of_all_models_count() -> None:
    """Up to the fraction that was asked for; a comparison that was stopped is not over."""
    report = SweepReport((), (RUN, dataclasses.replace(RUN, failed=0)), "state")
    assert (report.code_above(0.0), report.code_above(0.2)) == (1, 0)
    assert dataclasses.replace(report, stopped="asked").code_above(0.2) == ExitCode.STOPPED


def test_a_model_that_cannot_be_loaded_is_no_run_that_goes_on() -> None:
    """The same command would fail as it did; without any model that can nothing has begun."""
    broken, made = SweptColumn("a", "model", fault="broken"), SweptColumn("b", "model", dubbing_run="r")
    report = SweepReport((broken, made), (dataclasses.replace(RUN, failed=0),), "state")
    assert report.code_above(1.0) == ExitCode.ROWS_FAILED
    assert dataclasses.replace(report, stopped="asked").code_above(1.0) == ExitCode.STOPPED
    assert SweepReport((broken, broken), (), "state").code_above(1.0) == ExitCode.CANNOT_START
    unmeasured = dataclasses.replace(made, fault="broken")
    assert dataclasses.replace(report, columns=(unmeasured,)).code_above(1.0) == ExitCode.ROWS_FAILED


def test_a_comparison_without_figures_has_a_page(tmp_path: Path) -> None:
    """One that was stopped before anything was measured says so, and its tables have their heads."""
    LocalStore(tmp_path / "state")
    report = SweepReport((SweptColumn("wav2lip", "model", "", ""),), (), str(tmp_path / "state"), "asked")
    page, rows, summary = write_sweep(report, "rows.csv", tmp_path / "out")
    assert "no row was measured" in page.read_text("utf-8")
    assert rows.read_text("utf-8-sig").startswith("row_id,column,kind,status")
    assert summary.read_text("utf-8-sig").startswith("group,column,figure,better")
