"""One row that is named in code instead of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.runs.single_row import single_row
from lipwise_ray.storage.address import Policy


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("v.mp4", "s.wav"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_relative_to_where_the_program_runs(folder: Path) -> None:
    """The row is named after its output; what is None is as good as not said."""
    columns = {"video": "v.mp4", "audio": "s.wav", "output": "ep 1.mp4", "start": 1.5, "end": None, "tags": ["x"]}
    manifest = single_row(columns, str(folder / "out"), ["quality"])
    (row,) = manifest.rows
    assert (row.id, row.video, row.audio) == ("ep_1", str(folder / "v.mp4"), str(folder / "s.wav"))
    assert (row.output, row.start_s, row.end_s, row.tags) == ("ep 1.mp4", 1.5, None, ("x",))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"video": "gone.mp4"}, "row_video"),
        ({"output": "ep.doc"}, "row_output"),
        ({"faces": "biggest"}, "row_faces"),
        ({"preset": "none"}, "row_preset"),
    ],
)
def test_the_same_rules_hold_as_in_a_manifest(change: dict[str, str], code: str, folder: Path) -> None:
    """A row that a file could not have is a bad one here too, with the code that it would have there."""
    columns = {"video": "v.mp4", "audio": "s.wav", "output": "ep.mp4", **change}
    manifest = single_row(columns, str(folder / "out"), ["quality"])
    (bad,) = manifest.bad_rows
    assert [problem.code for problem in bad.problems] == [code]
    assert manifest.good == 0


def test_inputs_that_a_run_may_not_read_are_refused(folder: Path) -> None:
    """As a manifest's are, by the settings of the paths."""
    columns = {"video": "s3://theirs/v.mp4", "audio": "s.wav", "output": "ep.mp4"}
    (bad,) = single_row(columns, str(folder / "out"), ["quality"], Policy(schemes=("file",))).bad_rows
    assert "schemes" in str(bad.problems[0])
