"""Cells of a row: what they may hold, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.formats import BROKEN, READERS, Columns
from lipwise_ray.pipeline.manifest.row_validation import Cells, is_text, tags_of
from lipwise_ray.storage.address import Policy

COLUMNS = Columns(required=("id", "video"), optional=("start", "priority", "faces"))


def _cells(folder: Path | str = "/films", columns: Columns = COLUMNS) -> Cells:
    return Cells(columns, str(folder), Policy())


def _problems(cells: Cells) -> list[str]:
    cells.table.add(cells.line, cells.id, "", "", None)
    cells.table.close_entry()
    return [str(problem) for bad in cells.table.bad() for problem in bad.problems]


def _said_of(use: Any) -> list[str]:
    cells = _cells()
    assert cells.begin(3, {"id": "ep1", "video": "v.mp4"})
    use(cells)
    return _problems(cells)


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("90", 90.0), ("1.5", 1.5), ("1:30", 90.0), ("01:02:03.5", 3723.5), ("0", 0.0)]
)
def test_times_are_seconds_or_a_clocks(text: str, seconds: float | None) -> None:
    """As people write them into spreadsheets."""
    assert _cells().seconds("start", text) == seconds


@pytest.mark.parametrize("text", ["-1", "1:75", "soon", "nan", "1e99"])
def test_no_time_is_refused_with_its_place(text: str) -> None:
    """The message names line, row and column, and what to write instead."""
    (said,) = _said_of(lambda cells: cells.seconds("start", text))
    assert 'line 3 (id=ep1), column "start"' in said
    assert "h:mm:ss" in said


@pytest.mark.parametrize(("text", "number"), [("", 0), ("5", 5), ("-3", -3), ("7.0", 7)])
def test_whole_numbers_may_come_from_a_spreadsheet(text: str, number: int) -> None:
    """Which writes 7 as 7.0; half numbers and huge ones are refused."""
    assert _cells().whole("priority", text) == number
    for wrong in ("0.5", "9" * 50, "many"):
        (said,) = _said_of(lambda cells, wrong=wrong: cells.whole("priority", wrong))
        assert "is not a whole number" in said


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"id": "a/b", "video": "v"}, "'a/b' is not an id"),
        ({"id": "a", "video": ["v", "w"]}, "a list where one text or number belongs"),
        ({"id": "a", "video": "v", "strat": 1}, 'unknown column - did you mean "start"?'),
        ({"id": "a", "Video": "v"}, 'unknown column - did you mean "video"?'),
        ({"id": "a", "video": "\ud800"}, "cannot be written in UTF-8"),
        ({"id": "a", BROKEN: "3 cells where the header has 2"}, "3 cells where the header has 2"),
    ],
)
def test_a_cell_that_holds_something_else_is_told(record: dict[str, Any], said: str) -> None:
    """One sentence for the row, instead of an error from deep inside."""
    cells = _cells()
    cells.begin(2, record)
    (problem,) = _problems(cells)
    assert said in problem


def test_a_file_is_found_beside_the_manifest(tmp_path: Path) -> None:
    """By its path from there, or by its address; one that is not there, or is a folder, is told apart."""
    (tmp_path / "v.mp4").touch()
    (tmp_path / "sub").mkdir()
    cells = _cells(tmp_path)
    assert cells.begin(2, {"id": "a", "video": "v.mp4"})
    assert cells.file("video", "sub/../v.mp4") == str(tmp_path / "v.mp4")
    assert cells.file("video", "s3://bucket/v.mp4") == "s3://bucket/v.mp4"
    assert _problems(cells) == []
    for text, happened in (
        ("gone.mp4", "file not found"),
        (f"{'n' * 300}.mp4", "file name too long"),
        ("sub", "a folder of numbered images"),
        ("s3://b", "a bucket alone"),
    ):
        cells = _cells(tmp_path)
        cells.begin(2, {"id": "a", "video": text})
        cells.file("video", text)
        (said,) = _problems(cells)
        assert happened in said


def test_tags_are_a_list_or_a_text_that_separates_them() -> None:
    """Whatever separates them; numbers are texts, and nothing is no tag."""
    assert tags_of("news| sport ;;a,b") == ("news", "sport", "a", "b")
    assert tags_of(["news", 7]) == ("news", "7")
    assert tags_of(None) == ()
    assert is_text(["news", 7])
    assert not is_text(["\udc80"])
    assert not is_text([{"a": 1}])


def test_columns_that_take_anothers_place_are_enough(tmp_path: Path) -> None:
    """A file without a required column is refused as a whole, unless its stand-in is there."""
    columns = Columns(required=("id", "audio"), optional=("speakers",), instead={"audio": "speakers"})
    path = tmp_path / "m.csv"
    path.write_text("id;speakers\na;x\n\n")
    assert [*READERS[".csv"](path, columns)] == [(2, {"id": "a", "speakers": "x"})]
    path.write_text("id;speaker\na;x\n")
    with pytest.raises(ManifestError, match=r'did you mean "speakers".*column "audio" is missing'):
        [*READERS[".csv"](path, columns)]
