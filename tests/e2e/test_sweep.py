"""`evaluate sweep`: several lip models and another tool's files over one manifest, in one state."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import pytest
import torch

import lipwise_ray
from lipwise_ray.state import layout
from lipwise_ray.state.store import open_store, read_json
from tests.conftest import ROOT
from tests.support.dub import BY_LEVEL, INLINE, QUICK, UNJUDGED, UNSIGNED, run, settings_arguments, write_manifest
from tests.support.service import write_footage

DEMO = ROOT / "manifests" / "demo"
SETS = (
    INLINE,
    QUICK,
    UNSIGNED,
    BY_LEVEL,
    'detect.detector="tiny"',
    'restore.model="none"',
    "composite.occlusion=false",
    'timing.length="shortest"',
    'faces.embedder="none"',
    "score.compare_hz=1.0",
)
MODELS = "tiny_generator,untouched=passthrough"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compare a model, the original lips and another tool's files over rows of which one cannot be done."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "broken.mp4").write_bytes(b"no video")
    audio = DEMO / "presenter.m4a"
    rows: list[dict[str, Any]] = [
        {"id": "es", "video": DEMO / "presenter.mp4", "audio": audio, "language": "es", "tags": "news", "end": 1},
        {"id": "de", "video": DEMO / "presenter.mp4", "audio": audio, "language": "de", "start": 1, "end": 2},
        {"id": "bad", "video": folder / "broken.mp4", "audio": audio, "language": "de"},
    ]
    manifest = write_manifest(folder / "rows.csv", [{**row, "output": f"{row['id']}.mp4"} for row in rows])
    (folder / "echo").mkdir()
    _first_second(DEMO / "presenter.mp4", folder / "echo" / "es.mp4")
    report = lipwise_ray.sweep(
        manifest,
        MODELS,
        files=[f"echo={folder / 'echo'}"],
        out=folder / "sweep",
        settings=lipwise_ray.load_settings(assignments=SETS),
        models=folder / "no-models",
    )
    assert [column.label for column in report.columns] == ["tiny_generator", "untouched", "echo"]
    assert report.columns[2].absent == ("de", "bad")
    assert report.code_above(0.5) == 0
    return folder


def _first_second(source: Path, target: Path) -> None:
    """Write the beginning of a video, as it is coded."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None and packet.dts * packet.time_base < 1:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def _leased(state: Path) -> list[str]:
    lines = [line for path in state.glob("runs/*/events.jsonl") for line in path.read_bytes().splitlines()]
    return [event["task"] for line in lines if (event := json.loads(line))["event"] == "leased"]


@pytest.mark.slow
def test_nothing_is_looked_at_twice(swept: Path) -> None:
    """By the ledger each stretch of each file was scanned once, whatever models and rows there are."""
    scans = Counter(task for task in _leased(swept / "sweep.state") if task.startswith("scan:"))
    assert max(scans.values()) == 1
    videos = {task.split("/")[0] for task in scans}
    assert len(videos) == 6  # the source, two outputs of each model, and the other tool's file


@pytest.mark.slow
def test_tables_have_every_row_of_every_column(swept: Path) -> None:
    """A row that fails with a model, or that a tool has no file of, is told; the others have their figures."""
    rows = {(row["row_id"], row["column"]): row for row in _table(swept / "sweep" / "rows.csv")}
    status = {key: row["status"] for key, row in rows.items()}
    assert status == {
        ("es", "tiny_generator"): "done",
        ("de", "tiny_generator"): "done",
        ("bad", "tiny_generator"): "failed",
        ("es", "untouched"): "done",
        ("de", "untouched"): "done",
        ("bad", "untouched"): "failed",
        ("es", "echo"): "done",
        ("de", "echo"): "absent",
        ("bad", "echo"): "absent",
    }
    untouched, drawn = rows["de", "untouched"], rows["de", "tiny_generator"]
    assert float(untouched["face_psnr"]) > float(drawn["face_psnr"]) + 3  # a trimmed row is beside its own part
    assert float(drawn["sync_confidence"]) > float(untouched["sync_confidence"])
    assert float(drawn["seconds_a_frame"]) > 0
    assert (drawn["commercial"], rows["es", "echo"]["commercial"]) == ("yes", "")
    summary = {(row["group"], row["column"], row["figure"]): row for row in _table(swept / "sweep" / "summary.csv")}
    assert summary["language:de", "untouched", "face_psnr"]["pairs"] == "1"
    assert summary["all", "untouched", "face_psnr"]["rows"] == "2"
    assert summary["tag:news", "echo", "sync_confidence"]["rows"] == "1"


@pytest.mark.slow
def test_the_same_command_makes_nothing_again(swept: Path) -> None:
    """Neither frames nor figures; the page is written anew, with the speed of the first time."""
    before = (swept / "sweep" / "rows.csv").read_bytes()
    tasks = Counter(_leased(swept / "sweep.state"))
    (swept / "sweep" / "comparison.html").unlink()
    echo = ("--files", f"echo={swept / 'echo'}")
    done = run(
        *("evaluate", "sweep", swept / "rows.csv", "--models", MODELS, *echo, "--out", swept / "sweep"),
        *("--fail-above", "0.5", *settings_arguments(*SETS)),
        LIPWISE_MODELS=str(swept / "no-models"),
    )
    assert done.returncode == 0, done.stderr
    assert "comparison.html" in done.stdout
    more = Counter(_leased(swept / "sweep.state")) - tasks
    assert not [task for task in more if task.split(":")[0] in ("scan", "render", "measure", "plan", "score")]
    assert (swept / "sweep" / "rows.csv").read_bytes() == before
    assert (swept / "sweep" / "comparison.html").exists()


def test_a_model_that_cannot_be_loaded_costs_its_own_column(tmp_path: Path) -> None:
    """The others are made and measured, the page says why; then finished folders alone are put side by side."""
    write_footage(tmp_path / "in")
    torch.save({"state_dict": {"other.weight": torch.zeros(4)}}, tmp_path / "broken.pth")
    row = {"id": "a", "video": tmp_path / "in" / "v.mp4", "audio": tmp_path / "in" / "s.wav", "output": "a.mp4"}
    manifest = write_manifest(tmp_path / "rows.csv", [row | {"faces": "box:4,20,4,20"}])
    settings = lipwise_ray.load_settings(
        assignments=(*SETS, UNJUDGED, "source.resize_factor=2", f'paths.roots=["{tmp_path / "in"}"]')
    )
    out, models = tmp_path / "sweep", f"broken=wav2lip@{tmp_path / 'broken.pth'},untouched=passthrough"
    report = lipwise_ray.sweep(manifest, models, out=out, settings=settings, models=tmp_path / "no-models")
    assert "broken.pth" in report.columns[0].fault
    assert report.code_above(1.0) == 1
    broken, untouched = _table(out / "rows.csv")
    assert (broken["column"], broken["status"], untouched["status"]) == ("broken", "failed", "done")
    assert "broken.pth" in broken["message"]
    assert untouched["fitted"] == "80x60 to 160x120"  # what was made small is not made smaller to be measured
    identity = (read_json(open_store(report.state), layout.result(untouched["job_id"])) or {})["identity"]
    assert identity["faces"]["select"] == "box:4,20,4,20"
    assert identity["compare"] == {"max_lag_s": 0.0}  # made here: any lag would be a mistake
    folder = out / "untouched"
    runs = [f"{name}={folder}" for name in ("first", "second")]
    report = lipwise_ray.sweep(manifest, files=runs, out=tmp_path / "runs", settings=settings)
    assert [row["status"] for row in _table(tmp_path / "runs" / "rows.csv")] == ["done", "done"]
