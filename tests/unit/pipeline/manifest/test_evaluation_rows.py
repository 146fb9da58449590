"""Rows of videos that are to be evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.evaluation_rows import read_evaluation, row_name, rows_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.mp4", "b.mp4", "r.mp4", "s.wav"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "taken", "name"),
    [
        ("/x/ep 1 (final).mp4", (), "ep_1_final_"),
        ("s3://bucket/folder/ep1.mkv", (), "ep1"),
        ("v.mp4", ("v", "v-2"), "v-3"),
        ("/x/.mp4", (), "mp4"),
        ("/x/@@.mp4", (), "video"),
    ],
)
def test_a_row_is_named_after_its_file(address: str, taken: tuple[str, ...], name: str) -> None:
    """Without what an id may not hold, and apart from the rows before it."""
    assert row_name(address, taken) == name


def test_videos_that_are_named_one_by_one(folder: Path) -> None:
    """One reference is every video's; several go with one video each; equal names are told apart."""
    (folder / "other").mkdir()
    (folder / "other" / "a.mp4").touch()
    rows = [*rows_of(["a.mp4", "other/a.mp4"], ["r.mp4"]).rows]
    assert [(row.id, row.video) for row in rows] == [
        ("a", str(folder / "a.mp4")),
        ("a-2", str(folder / "other" / "a.mp4")),
    ]
    assert {row.reference for row in rows} == {str(folder / "r.mp4")}
    assert [row.reference for row in rows_of(["a.mp4", "b.mp4"], ["b.mp4", "a.mp4"]).rows] == [
        str(folder / "b.mp4"),
        str(folder / "a.mp4"),
    ]
    assert [row.reference for row in rows_of(["a.mp4"], []).rows] == [None]


def test_no_video_is_no_evaluation() -> None:
    """A program's empty list is told as such."""
    with pytest.raises(ManifestError, match="evaluate: no videos"):
        rows_of([], [])


def test_a_manifest_of_videos_knows_its_own_columns(folder: Path) -> None:
    """A column of rows that are dubbed is refused with the name that was meant; further ones are kept where asked."""
    manifest = folder / "m.csv"
    manifest.write_text("id,video,referense\nx,a.mp4,r.mp4\n")
    with pytest.raises(ManifestError, match='unknown column "referense" - did you mean "reference"'):
        read_evaluation(manifest)
    manifest.write_text("id,video,client\nx,a.mp4,ACME\n")
    (row,) = read_evaluation(manifest, keeps_extra=True).rows
    assert row.extra == {"client": "ACME"}


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ("x,gone.mp4,,", "row_video"),
        ("x,,,", "row_video"),
        ("x,a.mp4,speaking,", "row_faces"),
        ("x,a.mp4,,auto", "row_language"),
        ("x,a.mp4,,Auto", "row_language"),
    ],
)
def test_what_cannot_be_evaluated_is_that_rows_own_problem(cells: str, code: str, folder: Path) -> None:
    """A missing file, a rule that needs more than the finished video, a language that nobody hears: others go on."""
    (folder / "m.csv").write_text(f"id,video,faces,language\n{cells}\nfine,b.mp4,largest,de\n")
    manifest = read_evaluation(folder / "m.csv")
    assert [row.id for row in manifest.rows] == ["fine"]
    (bad,) = manifest.bad_rows
    assert [problem.code for problem in bad.problems] == [code]
