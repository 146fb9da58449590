"""Manifests as programs save them: UTF-16, Excel workbooks, columns of one's own, long names."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import ManifestError, OutputError
from lipwise_ray.pipeline.manifest import workbook
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNSIGNED, run

HEAD = ["id", "video", "audio", "output", "start", "end", "priority", "tags"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v.mp4", "a.wav", "ü.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def _read(path: Path, **more: Any) -> Manifest:
    return read_manifest(path, str(path.parent / "out"), [], **more)


def _book(path: Path, *rows: list[Any]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("notes").append(["not a row"])
    book.save(path)
    return path


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_byte_order_mark_says_how_text_is_written(folder, encoding, ending):
    """What Excel calls Unicode text is read like UTF-8."""
    text = "id\tvideo\taudio\toutput\r\na\tü.mp4\ta.wav\ta.mp4\r\n"
    if ending == "jsonl":
        record = {"id": "a", "video": "ü.mp4", "audio": "a.wav", "output": "a.mp4"}
        text = json.dumps(record, ensure_ascii=False) + "\n"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = folder / f"m.{ending}"
    path.write_bytes((mark + text).encode(encoding))
    assert [row.video for row in _read(path).rows] == [str(folder / "ü.mp4")]


@pytest.mark.parametrize("rows", [1, 20_000])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_what_is_no_utf_8_is_told_with_its_line(folder, rows, ending):
    """However far down it stands, in the middle or at the very end."""
    one = b'{"id": "a"}\n' if ending == "jsonl" else b"a,v.mp4,a.wav,a.mp4\n"
    head = b"" if ending == "jsonl" else b"id,video,audio,output\n"
    path, lines = folder / f"m.{ending}", rows + bool(head)
    for end in (b"\xe9\n" + one, b"\xe9"):
        path.write_bytes(head + one * rows + end)
        with pytest.raises(ManifestError, match=rf"m\.{ending}, line {lines + 1}: not a text in UTF-8"):
            _read(path)


def test_texts_that_a_parquet_has_as_bytes_are_texts(folder):
    """Some programs do not mark them as UTF-8; what is none is its row's fault."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {"id": [b"a", b"b"], "video": ["ü.mp4".encode(), b"\xff.mp4"], "audio": [b"a.wav"] * 2}
    pq.write_table(pa.table({**rows, "output": [b"a.mp4", b"b.mp4"]}), folder / "m.parquet")
    manifest = _read(folder / "m.parquet")
    assert [(row.id, row.video) for row in manifest.rows] == [("a", str(folder / "ü.mp4"))]
    (problem,) = manifest.problems
    assert "line 2 (id=b), column \"video\": '\\udcff.mp4' cannot be written in UTF-8" in str(problem)


def test_a_workbook_is_read_as_people_see_it(folder):
    """Numbers, times and gaps of an Excel sheet become what CSV would have; lines are the sheet's own."""
    path = _book(
        folder / "m.xlsx",
        [],
        [*HEAD, None],
        [7.0, "v.mp4", "a.wav", "a.mp4", time(0, 1, 30), timedelta(minutes=2, seconds=3.5), 2.0, "de,x"],
        [],
        ["b", "v.mp4", "a.wav", "b.mp4", 1.25, None, None, date(2026, 1, 2)],
        ["c", "v.mp4", "a.wav", "c.mp4", None, None, None, datetime(2026, 1, 2, 3, 4)],  # noqa: DTZ001  # as Excel has it
    )
    rows = list(_read(path).rows)
    assert [(row.line, row.id, row.start_s, row.end_s, row.priority) for row in rows] == [
        (3, "7", 90.0, 123.5, 2),
        (5, "b", 1.25, None, 0),
        (6, "c", 0.0, None, 0),
    ]
    assert [row.tags for row in rows] == [("de", "x"), ("2026-01-02",), ("2026-01-02 03:04:00",)]


def test_a_workbook_that_is_wrong_is_told(folder):
    """Unknown columns, cells with errors, other files and formulas that were never computed each have their message."""
    with pytest.raises(ManifestError, match='unknown column "colour"'):
        _read(_book(folder / "a.xlsx", ["id", "video", "audio", "output", "colour"]))
    manifest = _read(_book(folder / "b.xlsx", HEAD, ["a", "#N/A", "a.wav", "a.mp4"], ["b", "v.mp4", "a.wav", "b.mp4"]))
    assert [row.id for row in manifest.rows] == ["b"]  # the fault of one row is no other's
    assert [str(problem) for problem in manifest.problems] == ["line 2 (id=a): the error #N/A in cell B2."]
    (folder / "c.xlsx").write_text("id,video\n")
    with pytest.raises(ManifestError) as caught:
        _read(folder / "c.xlsx")
    assert caught.value.code == "manifest_xlsx"
    manifest = _read(_book(folder / "d.xlsx", HEAD, ["a", "=A1&B1", "a.wav", "a.mp4"]))
    assert (manifest.good, manifest.bad) == (0, 1)


def test_a_packed_bomb_is_refused_before_it_is_unpacked(folder, monkeypatch):
    """What a workbook unpacks to is bounded by its own list of parts, and rows by Excel's own number."""
    monkeypatch.setattr(workbook, "_MOST_BYTES", 4 << 20)
    monkeypatch.setattr(workbook, "_MOST_ROWS", 1000)
    path = _book(folder / "m.xlsx", HEAD)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros", bytes(5 << 20))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ManifestError, match="4 MiB are read"):
        _read(path)
    far = folder / "far.xlsx"
    with zipfile.ZipFile(_book(folder / "n.xlsx", HEAD)) as old, zipfile.ZipFile(far, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name, data.replace(b'<row r="1"', b'<row r="999999999"') if name.endswith("sheet1.xml") else data
            )
    with pytest.raises(ManifestError, match="more than 1000 rows"):
        _read(far)


def test_columns_of_ones_own_are_refused_or_kept(folder):
    """An unknown column is an error, because it may be a slip; where it is to be kept, its texts come along."""
    path = folder / "m.csv"
    path.write_text("id,video,audio,output,notes,Kunde\na,v.mp4,a.wav,a.mp4,urgent,\nb,v.mp4,a.wav,b.mp4,,ACME\n")
    with pytest.raises(ManifestError, match='unknown column "notes"'):
        _read(path)
    rows = list(_read(path, keeps_extra=True).rows)
    assert [row.extra for row in rows] == [{"notes": "urgent", "Kunde": ""}, {"notes": "", "Kunde": "ACME"}]
    lines = folder / "m.jsonl"
    record = {"id": "a", "video": "v.mp4", "audio": "a.wav", "output": "a.mp4", "who": {"name": "A"}, "n": 7}
    lines.write_text(
        json.dumps(record) + "\n" + json.dumps({**record, "id": "b", "output": "b.mp4", "n": "x" * 40_000})
    )
    manifest = _read(lines, keeps_extra=True)
    assert [row.extra for row in manifest.rows] == [{"who": '{"name": "A"}', "n": "7"}]
    assert manifest.bad == 1


def test_names_as_long_as_file_systems_bear(folder):
    """Ids up to 240 bytes and outputs up to 255 are fine, counted in UTF-8; one byte more is told."""
    long_id, long_name = "é" * 120, "é" * 125 + "x.mp4"
    rows = [
        (long_id, long_name),
        (long_id + "e", "b.mp4"),
        ("c", "é" * 126 + ".mp4"),
    ]
    path = folder / "m.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEAD[:4], *([name, "v.mp4", "a.wav", out] for name, out in rows)])
    manifest = _read(path)
    assert [(row.id, row.output) for row in manifest.rows] == [rows[0]]
    assert [
        next(word for word in ("at most 240 bytes", "more than 255 bytes") if word in str(problem))
        for problem in manifest.problems
    ] == ["at most 240 bytes", "more than 255 bytes"]


def test_long_names_and_own_columns_as_a_user_has_them(tmp_path):
    """A row with a name of 255 bytes is made, and its own columns stand in the results."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(64, 48), frames=5))
    write_sound(tmp_path / "a.wav", ToneSpec(0.2, 16_000, 1, codec="pcm_s16le"))
    output, name = "日" * 83 + "xx.mkv", "日" * 80
    assert len(output.encode()) == 255
    path = _book(
        tmp_path / "m.xlsx",
        ["id", "video", "audio", "output", "faces", "client"],
        [name, "v.mkv", "a.wav", output, "box:5,45,5,60", "ACME"],
        ["bad", "v.mkv", "a.wav", "x.mkv", "like:no.png", "Other"],
    )
    sets = ("engine.kind=inline", 'manifest.extra="keep"', 'score.judge="none"', UNSIGNED, PASSTHROUGH, QUICK)
    options = [word for one in sets for word in ("--set", one)]
    done = run("submit", path, "--out", tmp_path / "out", *options)
    assert done.returncode == 1, done.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == [output]
    (table,) = (tmp_path / "out.state" / "runs").glob("*/results.csv")
    found = {row["row_id"]: row for row in csv.DictReader(io.StringIO(table.read_text("utf-8-sig")))}
    assert json.loads(found[name]["extra"]) == {"client": "ACME"}
    assert found[name]["status"] == "done"


def test_an_output_folder_with_shorter_names_is_told_before_any_work(tmp_path, monkeypatch):
    """The file system of the output folder has the last word about its name."""
    import os

    from lipwise_ray.pipeline.delivery.outputs import output_at

    monkeypatch.setattr(os, "pathconf", lambda folder, name: 143)
    output_at(str(tmp_path / ("x" * 139 + ".mp4")), tmp_path).check()
    with pytest.raises(OutputError, match="has a name of 144 bytes; its folder takes at most 143"):
        output_at(str(tmp_path / ("x" * 140 + ".mp4")), tmp_path).check()


def test_a_name_that_no_file_system_takes_is_told_as_such(tmp_path):
    """The system refuses even to look for it."""
    from lipwise_ray.pipeline.delivery.outputs import output_at

    with pytest.raises(OutputError, match="has a name of 258 bytes"):
        output_at(str(tmp_path / ("x" * 249 + ".mkv.c2pa")), tmp_path).check()


@pytest.mark.parametrize("again", ['"audio": "v.mp4"', '"speakers": [{"face": "left", "face": "right"}]'])
def test_a_key_that_stands_twice_in_an_object_is_a_row_error(folder: Path, again: str) -> None:
    """JSON leaves open which of the two counts; nobody finds out by a dub of the wrong one."""
    good = json.dumps({"id": "a", "video": "v.mp4", "audio": "a.wav", "output": "a.mp4"})
    (folder / "m.jsonl").write_text(f"{good[:-1]}, {again}}}\n{good}\n")
    manifest = _read(folder / "m.jsonl")
    assert [row.line for row in manifest.rows] == [2]
    assert [" appears twice" in str(problem) for problem in manifest.problems] == [True]
