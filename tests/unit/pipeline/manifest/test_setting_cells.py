"""Settings that rows have of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("timing.fit", "sideways", "timing.fit"),
        ("detect.stride", 0, "greater than or equal to 1"),
        ("timing.fitt", "video", 'did you mean "timing.fit"'),
        ("engine.workers", 5, "unknown column"),
        ("faces.align", {"a": 1}, "a dict where one text or number belongs"),
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
    assert not {name for name in SETTING_COLUMNS if name.endswith("checkpoint")}
