"""Schemas of a state's records are what the types say, and real records fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lipwise_ray.state.schemas import FOLDER, schemas
from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, dub, evaluated

DEMO = ROOT / "manifests" / "demo"
TINY = 'detect.detector="tiny"'


def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_files_are_what_the_types_say() -> None:
    """A type that changes needs its schema written anew, by `python -m lipwise_ray.state.schemas`."""
    assert {path: path.read_text("utf-8") for path in FOLDER.glob("*.json")} == schemas()


def test_real_records_fit(tmp_path: Path) -> None:
    """Results, events and ends of a run with a broken row, and of an evaluation with and without a reference."""
    told = {"audio": DEMO / "presenter.m4a", "end": 1.2, "length": "video"}
    rows = [
        {"id": "p", "video": DEMO / "presenter.mp4", "output": "p.mp4", **told},
        {"id": "bad", "video": ROOT / "README.md", "output": "bad.mp4", **told},
    ]
    dub(tmp_path, rows, TINY, PASSTHROUGH, QUICK, 'score.judge="auto"')
    film = tmp_path / "out" / "p.mp4"
    evaluated(tmp_path, [{"id": "e", "video": film, "reference": film}, {"id": "f", "video": film}], TINY)
    for pattern, name, least in (
        ("jobs/*/result.json", "result", 3),
        ("runs/*/report.json", "report", 2),
        ("runs/*/events.jsonl", "events", 10),
    ):
        lines = [line for path in tmp_path.glob(f"*.state/{pattern}") for line in _records(path)]
        assert len(lines) >= least
        validator = _validator(name)
        for line in lines:
            validator.validate(line)


def _records(path: Path) -> list[Any]:
    text = path.read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("result", {"status": "done", "job_id": "a", "output": "a.mp4", "frames": "many", "chunks": 1}),
        ("events", {"event": "leased", "time": 1.0, "run": "r", "task": "probe:1"}),
        ("events", {"event": "unheard", "time": 1.0, "run": "r"}),
        ("events", {"time": 1.0, "run": "r", "task": "probe:1"}),
        ("report", {"done": -1}),
    ],
)
def test_what_is_no_record_does_not_fit(name: str, record: dict[str, Any]) -> None:
    """A wrong kind of value, a key that is missing, an event that there is not: each is told."""
    assert not _validator(name).is_valid(record)
