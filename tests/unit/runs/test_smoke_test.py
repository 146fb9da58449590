"""The smoke test of a deployment: inputs that lie with the outputs, and a file that is read again."""

from __future__ import annotations

import csv
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import OutputError
from lipwise_ray.resources import manifests_folder
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.smoke_test import CLIP, SmokeFinding, smoke_findings, smoke_manifest
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.row_outcome import RowOutcome, RowResult
from lipwise_ray.state.store import open_store, to_json
from tests.support.s3 import BUCKET, point_to, s3_server

DEMO = manifests_folder() / "demo"
_FRAMES = 171


def _rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_inputs_lie_where_outputs_go(tmp_path: Path) -> None:
    """A manifest of one row with whole addresses, whose files are the demo's; its output's name is not the inputs'."""
    with smoke_manifest(str(tmp_path / "out"), Settings()) as manifest:
        (row,) = _rows(manifest)
    assert not manifest.exists()
    assert row["id"] == CLIP
    for column in ("video", "audio"):
        file = Path(row[column])
        assert file.parent == tmp_path / "out" / "inputs"
        assert file.read_bytes() == (DEMO / file.name).read_bytes()
    assert row["output"].startswith("smoke-")


def test_inputs_go_into_a_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the store's protocol, so what cannot be written there is known before any work."""
    settings = Settings.model_validate({"paths": {"scratch": str(tmp_path)}})
    with s3_server(monkeypatch.setenv) as port:
        point_to(port, monkeypatch.setenv)
        with smoke_manifest(f"s3://{BUCKET}/dubbed/", settings) as manifest:
            (row,) = _rows(manifest)
        found = open_store(f"s3://{BUCKET}/dubbed").read(f"inputs/{CLIP}.mp4")
    assert row["video"] == f"s3://{BUCKET}/dubbed/inputs/{CLIP}.mp4"
    assert found == (DEMO / f"{CLIP}.mp4").read_bytes()


def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    """Before a run is started."""
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out"), smoke_manifest(str(tmp_path / "out"), Settings()):
        pass


def _report(folder: Path, *results: RowResult) -> Report:
    """Return the report of a run whose rows ended so."""
    store = open_store(str(folder / "state"))
    for line, result in enumerate(results, 2):
        outcome = RowOutcome(row=line, row_id=CLIP, job_id="j", result=result, seconds=1.0)
        store.write(f"{layout.rows('r')}/{line:06d}-{outcome.status}.json", to_json(outcome.record))
    return Report("r", 1, 0, 0, 2.0, 1, 1, 0, state=str(folder / "state"), out=str(folder), stopped="a window closed")


def _published(folder: Path) -> DubResult:
    file = folder / "smoke-1.mp4"
    shutil.copyfile(DEMO / f"{CLIP}.mp4", file)
    data = file.read_bytes()
    return DubResult(
        job_id="j",
        output=str(file),
        frames=_FRAMES,
        chunks=1,
        bytes_total=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _names(findings: list[SmokeFinding], *, good: bool) -> list[str]:
    return [one.name for one in findings if one.good is good]


def test_a_file_that_is_what_was_published_is_good(tmp_path: Path) -> None:
    """The row, the bytes of its output, and the frames and audio in them."""
    findings = [*smoke_findings(_report(tmp_path, _published(tmp_path)), Settings())]
    assert _names(findings, good=True) == ["row", "output", "video"]
    assert _names(findings, good=False) == []


def test_another_file_is_found_out(tmp_path: Path) -> None:
    """One that is changed, gone, or of other frames than were rendered."""
    result = _published(tmp_path)
    of_less = [*smoke_findings(_report(tmp_path / "a", replace(result, frames=_FRAMES + 8)), Settings())]
    assert _names(of_less, good=False) == ["video"]
    Path(result.output).write_bytes(b"else")
    (changed,) = [one for one in smoke_findings(_report(tmp_path / "b", result), Settings()) if not one.good]
    assert "is not the file that was published" in changed.text
    Path(result.output).unlink()
    (gone,) = [one for one in smoke_findings(_report(tmp_path / "c", result), Settings()) if not one.good]
    assert "is not there" in gone.text


def test_a_row_that_failed_or_did_not_end_says_why(tmp_path: Path) -> None:
    """With its code, or the reason for which the run was stopped."""
    (failed,) = smoke_findings(_report(tmp_path / "a", RowFailure(code="storage", message="no room")), Settings())
    assert (failed.good, failed.name, failed.text) == (False, "row", "storage: no room")
    (left,) = smoke_findings(_report(tmp_path / "b"), Settings())
    assert (left.good, left.text) == (False, "a window closed")
