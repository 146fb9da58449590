"""Stopping a night: what runs ends, and the night is written down, reported and told of."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from lipwise_ray.state.store import as_json
from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, command, run, settings_arguments, write_manifest

DEMO = ROOT / "manifests" / "demo"
TOLD = (PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, 'detect.detector="tiny"', "chunk.length_s=0.4")
INLINE = 'engine.kind="inline"'


def _drop(folder: Path, rows: int) -> None:
    """Put two manifests into a backlog."""
    (folder / "in").mkdir()
    row = {"video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "end": 2.0, "length": "video"}
    for name in ("a", "b"):
        listed = [{**row, "id": f"{name}{n}", "output": f"{n}.mp4", "start": n / 10} for n in range(rows)]
        write_manifest(folder / "in" / f"{name}.csv", listed)


def _until_it_renders(folder: Path) -> None:
    deadline_s = time.monotonic() + 120
    while not list(folder.glob("in.out.state/jobs/*/chunks/*.json")):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _stopped(folder: Path) -> dict[str, Any]:
    """Check what a stopped night left, and return its record."""
    (written,) = folder.glob("in.out.state/nights/*/night.json")
    record = as_json(written.read_bytes()) or {}
    assert json.loads((folder / "told").read_text()) == record
    assert Path(record["report"]).is_file()
    assert (record["exit_code"], record["stopped"]) == (3, "asked")
    assert record["left"] > 0
    assert "it was asked to stop" in record["reasons"]
    return dict(record)


def _attempts(folder: Path) -> Counter[str]:
    (log,) = folder.glob("in.out.state/runs/*/events.jsonl")
    return Counter(json.loads(line)["event"] for line in log.read_text().splitlines())


def _rendered(folder: Path) -> Counter[str]:
    """Return how often each chunk was handed out, by all runs."""
    lines = (line for log in folder.glob("in.out.state/runs/*/events.jsonl") for line in log.read_text().splitlines())
    leased = (event for event in map(json.loads, lines) if event["event"] == "leased")
    return Counter(event["task"] for event in leased if event["task"].startswith("render:"))


@pytest.mark.slow
def test_a_night_that_is_asked_to_stop(tmp_path: Path) -> None:
    """What systemd sends (SIGTERM, then SIGCONT): the chunk at work ends, nothing more is begun, the record is written
    and told; the next night takes up the rest, and `--exit-zero` does not call it a whole night.
    """
    _drop(tmp_path, 4)
    words = ("backlog", "run", tmp_path / "in", "--exit-zero", *settings_arguments(INLINE, *TOLD))
    notify = ("--notify", f"sh -c 'cat > {tmp_path}/told'")
    process = subprocess.Popen(command(*words, *notify), stderr=subprocess.PIPE, text=True)
    _until_it_renders(tmp_path)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "stopping: running chunks end first" in said
    _stopped(tmp_path)
    attempts = _attempts(tmp_path)
    assert attempts["leased"] == attempts["done"] > 0
    again = run(*words)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("in.out/*/*.mp4"))) == 8
    assert set(_rendered(tmp_path).values()) == {2}  # once for each manifest: their jobs are of one name


@pytest.mark.slow
@pytest.mark.parametrize("is_everybody_told", [False, True])
def test_a_night_on_ray_that_is_asked_to_stop(*, is_everybody_told: bool, tmp_path: Path) -> None:
    """With a real Ray: as systemd stops the shipped unit (KillMode=mixed, the driver alone), and as a machine that goes
    down does, which tells Ray's own processes too. No process of it stays.
    """
    _drop(tmp_path, 12)
    words = (
        "backlog",
        "run",
        tmp_path / "in",
        "--notify",
        f"sh -c 'cat > {tmp_path}/told'",
        *settings_arguments(*TOLD),
    )
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True)
    _until_it_renders(tmp_path)
    started = psutil.Process(process.pid).children(recursive=True)  # the test's own, and no others
    for one in [psutil.Process(process.pid), *(started if is_everybody_told else ())]:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 3, said
    record = _stopped(tmp_path)
    assert record["stopped"] == "asked"
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive
