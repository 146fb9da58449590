"""Rows that do not pass their gate are tried in other ways; the best is published, also after a crash."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.dub import QUICK, UNSIGNED, command, packets, run, settings_arguments, write_manifest
from tests.support.waiting import until

DEMO = ROOT / "manifests" / "demo"
JOB = """
[lipsync]
model = "tiny_generator"
[detect]
detector = "tiny"
min_score = 1.0
[faces]
min_face_share = 0.0
[chunk]
length_s = 0.6
[composite]
occlusion = false
[engine]
kind = "inline"
[score]
judge = "none"
[gate]
max_no_face_share = 0.2
max_flicker = -100.0
"""
"""No face is sure enough for it, and nothing flickers less than that."""

WAYS = """
[[gate.retry]]
detect.min_score = 0.7
[[gate.retry]]
lipsync.audio_offset_ms = 400.0
"""


def _written(folder: Path) -> tuple[Path, Path]:
    job = folder / "job.toml"
    job.write_text(JOB + WAYS)
    row = {"id": "p", "video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "output": "p.mp4"}
    return write_manifest(folder / "m.csv", [{**row, "end": 1.8, "length": "video"}]), job


def _submit(folder: Path, manifest: Path, job: Path, *sets: str) -> Any:
    done = run(
        "submit", manifest, "--job", job, "--out", folder / "out", "--json", *settings_arguments(QUICK, UNSIGNED, *sets)
    )
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    return record, done.stderr


def _attempts(folder: Path) -> list[dict[str, Any]]:
    """Return what the latest run's row says of its attempts."""
    path = max(folder.glob("out.state/runs/*/rows/*-done.json"), key=lambda one: one.parts[-3])
    return list(json.loads(path.read_bytes())["attempts"])


@pytest.mark.slow
def test_the_best_of_three_is_published(tmp_path: Path) -> None:
    """A row without a face is tried with a detector that is less strict; a later run does nothing again."""
    manifest, job = _written(tmp_path)
    record, told = _submit(tmp_path, manifest, job)
    assert record["gate"]["verdict"] == "check"
    assert re.search(r"flicker more than filmed is \S+; it must be at most -100", told)
    assert "(1 to check)" in told
    tries = _attempts(tmp_path)
    assert [one["settings"] for one in tries] == [
        {},
        {"detect": {"min_score": 0.7}},
        {"lipsync": {"audio_offset_ms": 400.0}},
    ]
    assert [len(one["reasons"]) for one in tries] == [2, 1, 2]
    assert record["job_id"] == tries[1]["job_id"]
    assert (tmp_path / "out.state" / "jobs" / record["job_id"] / "result.json").is_file()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p.mp4"]
    assert not list(tmp_path.glob("out.state/jobs/*/segments/*"))
    assert " chunks rendered" not in run("status", tmp_path / "out.state").stdout  # no job is left unfinished
    (page,) = tmp_path.glob("out.state/runs/*/report.html")
    assert "lipsync.audio_offset_ms = 400.0: check" in page.read_text()

    shown = packets(tmp_path / "out" / "p.mp4")
    again, told = _submit(tmp_path, manifest, job)
    assert "0 frames rendered" in told
    assert (again["job_id"], again["gate"]) == (record["job_id"], record["gate"])
    job.write_text(JOB + WAYS + '[[gate.retry]]\ncomposite.mask = "soft"\nlipsync.audio_offset_ms = 480.0\n')
    more, told = _submit(tmp_path, manifest, job)
    assert f"{record['frames']} frames rendered" in told
    assert more["job_id"] == record["job_id"]
    assert packets(tmp_path / "out" / "p.mp4") == shown
    assert len(_attempts(tmp_path)) == 4
    looser, told = _submit(tmp_path, manifest, job, "gate.max_flicker=100.0")
    assert "0 frames rendered" in told
    assert looser["gate"]["verdict"] == "passed"


@pytest.mark.slow
def test_a_crash_between_attempts_loses_nothing(tmp_path: Path) -> None:
    """Killed while the second attempt is rendered: what was rendered is not rendered again."""
    manifest, job = _written(tmp_path)
    words = command("submit", manifest, "--job", job, "--out", tmp_path / "out", *settings_arguments(QUICK, UNSIGNED))
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    until(lambda: len(list(tmp_path.glob("out.state/jobs/*/chunks/*.json"))) >= 4, 120, longest_pause_s=0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "p.mp4").exists()
    chunks = len(list(tmp_path.glob("out.state/jobs/*/chunks/*.json")))
    record, told = _submit(tmp_path, manifest, job)
    assert f"{9 - chunks} chunks rendered" in told
    assert [len(one["reasons"]) for one in _attempts(tmp_path)] == [2, 1, 2]
    assert record["job_id"] == _attempts(tmp_path)[1]["job_id"]


def test_a_fallback_that_cannot_begin_is_told(tmp_path: Path) -> None:
    """Its row goes on without it, and says so at once."""
    manifest, job = _written(tmp_path)
    job.write_text(JOB + '[[gate.retry]]\nrestore.model = "gfpgan_1_4"\n')
    _, told = _submit(tmp_path, manifest, job)
    assert "error: gate.retry 1: model gfpgan_1_4: not installed" in told
    first, second = _attempts(tmp_path)
    assert (first["verdict"], second["verdict"], second["code"]) == ("check", "failed", "not_installed")


@pytest.mark.slow
def test_fallbacks_that_come_later_and_change_nothing(tmp_path: Path) -> None:
    """One that cannot begin, and one that gives the same video: what is published stays, also without its record."""
    manifest, job = _written(tmp_path)
    job.write_text(JOB)
    before, _ = _submit(tmp_path, manifest, job)
    for text in ('restore.model = "gfpgan_1_4"', "lipsync.batch_frames = 2"):
        job.write_text(f"{JOB}[[gate.retry]]\n{text}\n")
        record, told = _submit(tmp_path, manifest, job)
        assert record["job_id"] == before["job_id"]
        assert "0 frames rendered" in told
    job.write_text(JOB + WAYS)
    record, _ = _submit(tmp_path, manifest, job)
    assert record["job_id"] != before["job_id"]
    (tmp_path / "out.state" / "jobs" / before["job_id"] / "result.json").unlink()
    again, _ = _submit(tmp_path, manifest, job)
    assert again["job_id"] == record["job_id"]


@pytest.mark.slow
def test_an_attempt_in_quarantine_costs_its_row_nothing(tmp_path: Path) -> None:
    """Several dead letters of one attempt end that attempt alone, and the row has its video."""
    manifest, job = _written(tmp_path)
    _, _ = _submit(tmp_path, manifest, job)
    (tmp_path / "out" / "p.mp4").unlink()
    second = _attempts(tmp_path)[1]["job_id"]
    for path in (tmp_path / "out.state" / "jobs").glob("*/result.json"):
        path.unlink()
    letters = tmp_path / "out.state" / "quarantine"
    letters.mkdir(exist_ok=True)
    for number in range(3):
        task = f"render:{second}/{number}"
        (letters / f"render-{second}-{number}.json").write_text(json.dumps({"task": task, "job_id": second}))
        (tmp_path / "out.state" / "jobs" / second / "chunks" / f"{number:05d}.json").unlink()
    record, _ = _submit(tmp_path, manifest, job)
    tries = _attempts(tmp_path)
    assert [one["verdict"] for one in tries] == ["check", "failed", "check"]
    assert record["job_id"] in {tries[0]["job_id"], tries[2]["job_id"]}
    assert (tmp_path / "out" / "p.mp4").exists()
