"""Settings that rows have of their own."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.setting_cells import SETTING_COLUMNS
from lipwise_ray.runs.load_settings import load_settings


def _read(folder: Path, ending: str, row: dict[str, Any]) -> Manifest:
    for name in ("v.mp4", "a.wav"):
        (folder / name).touch()
    path = folder / f"m.{ending}"
    row = {"id": "r", "video": "v.mp4", "audio": "a.wav", "output": "r.mp4", **row}
    if ending == "csv":
        path.write_text(f"{';'.join(row)}\n{';'.join(map(str, row.values()))}\n", "utf-8")
    else:
        path.write_text(json.dumps(row) + "\n", "utf-8")
    return read_manifest(path, str(folder / "out"), ["quality"])


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_row_has_settings_of_its_own(tmp_path: Path, ending: str) -> None:
    """A column called as a setting sets it for its row, as text of a CSV file and as a value of JSON."""
    asked = {"timing.fit": "video", "faces.align": True, "detect.stride": 5, "restore.strength": 0.5, "source.crop": ""}
    asked = {name: str(value).lower() for name, value in asked.items()} if ending == "csv" else asked
    (row,) = _read(tmp_path, ending, {**asked, "length": "fit"}).rows
    settings = load_settings(assignments="detect.stride=2").for_row(row)
    assert (settings.timing.length, settings.timing.fit, settings.faces.align) == ("fit", "video", True)
    assert (settings.detect.stride, settings.restore.strength, settings.source.crop) == (5, 0.5, None)


def test_a_label_of_a_row_may_have_the_letters_of_the_runs_font(tmp_path: Path) -> None:
    """The font is the run's alone, and which letters a row may have is known with it: without one, or with it."""
    (row,) = _read(tmp_path, "csv", {"marking.label_text": "人工智能生成"}).rows
    settings = load_settings(assignments="marking.label_font=font.otf").for_row(row)
    assert settings.marking.label_text == "人工智能生成"
    with pytest.raises(SettingsError, match=r"name a font that has it in marking\.label_font"):
        load_settings().for_row(row)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("marking.label_text", "A\nI", "must be one line that shows something"),
        ("timing.fit", "sideways", "timing.fit"),
        ("detect.stride", 0, "greater than or equal to 1"),
        ("timing.fitt", "video", 'did you mean "timing.fit"'),
        ("engine.workers", 5, "unknown column"),
        ("faces.align", {"a": 1}, "a dict where one text or number belongs"),
        ("restore.upscale", '{model = "x", checkpoint = "/weights"}', "a row has no checkpoint of its own"),
        ("source.still_rate", "10", "unknown column"),
    ],
)
def test_what_a_row_cannot_set_is_its_own_fault(tmp_path: Path, column: str, value: object, message: str) -> None:
    """A value that cannot be, and a setting that is not a row's, are reported with their column."""
    (problem,) = _read(tmp_path, "jsonl", {column: value}).problems
    assert message in str(problem)
    assert f'column "{column}"' in str(problem)


def test_rows_set_nothing_of_the_machine_or_the_run() -> None:
    """Programs, folders, workers, and files by name are none of a row's settings."""
    assert not {name for name in SETTING_COLUMNS if name.partition(".")[0] in {"tts", "paths", "engine", "limits"}}
    assert not {name for name in SETTING_COLUMNS if name.endswith(("checkpoint", "batch_frames", "batch_faces"))}


def test_cells_of_json_are_read_as_those_of_csv(tmp_path: Path) -> None:
    """Spaces are an empty cell, and a whole number may have been made one with decimals on its way."""
    (row,) = _read(tmp_path, "jsonl", {"detect.stride": 5.0, "timing.fit": " ", "faces.follow": " shot "}).rows
    settings = load_settings().for_row(row)
    assert (settings.detect.stride, settings.timing.fit, settings.faces.follow) == (5, "audio", "shot")


def test_decimals_and_dates_of_parquet_are_numbers_and_a_bad_row(tmp_path: Path) -> None:
    """A column of decimals holds numbers; a date is no setting, which costs its own row alone."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name in ("v.mp4", "a.wav"):
        (tmp_path / name).touch()
    row = {"video": "v.mp4", "audio": "a.wav", "detect.stride": Decimal("4.00"), "restore.strength": Decimal("0.50")}
    rows = [{**row, "id": name, "output": f"{name}.mp4", "timing.fit": None} for name in "ab"]
    rows[1]["timing.fit"] = date(2026, 1, 1)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "m.parquet")
    manifest = read_manifest(tmp_path / "m.parquet", str(tmp_path / "out"), [])
    (good,) = manifest.rows
    settings = load_settings().for_row(good)
    assert (good.id, settings.detect.stride, settings.restore.strength) == ("a", 4, 0.5)
    assert [one.id for one in manifest.bad_rows] == ["b"]
