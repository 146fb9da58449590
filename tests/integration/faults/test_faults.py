"""Faults in real processes on an embedded Ray: nothing is lost, published half, or done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.dub import run
from tests.integration.faults.chaos import FAULTS, ROWS, chaos
from tests.integration.faults.harness import CHUNK, CHUNKS, Fault, Site

POISON = r"^render:a/2$"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_chunk_that_segfaults_is_quarantined(site: Site) -> None:
    """Its budget is spent, its row fails with the letter's place, everything else is done; a rerun does not try again,
    `reproduce` meets the same end, and `retry` finishes the row.
    """
    site.inject(Fault(POISON, "begin", "segv", times=100))
    done = site.run()
    assert done.returncode == 1, done.stderr
    assert site.hits == 3
    site.check("b")
    (letter,) = site.letters()
    assert [attempt["blame"] for attempt in letter["attempts"]] == ["crash"] * 3
    assert all("Segmentation fault" in attempt["log"] for attempt in letter["attempts"])
    assert "FAILED a: worker" in done.stderr
    assert f"quarantine/render-{letter['job_id']}-2.json" in done.stderr

    status = run("status", site.state)
    assert f"quarantined {letter['task']}" in status.stdout
    again = site.run()
    assert again.returncode == 1
    assert site.hits == 3
    assert "is in quarantine" in again.stderr
    alone = run(*letter["reproduce"].split()[1:], **site.environment)
    assert alone.returncode in (-11, 139)
    assert "Segmentation fault" in alone.stderr

    site.inject()
    retried = run("retry", site.state, **site.environment)
    assert retried.returncode == 0, retried.stderr
    assert "1 tasks out of quarantine" in retried.stdout
    site.check("a", "b")
    assert not site.letters()


def test_a_chunk_in_quarantine_may_show_its_original_frames(site: Site) -> None:
    """With `on_quarantine = passthrough` the row is done and says which chunk was left as it was filmed."""
    site.inject(Fault(POISON, "frame:5", "raise", times=3))
    done = site.run('engine.on_quarantine="passthrough"')
    assert done.returncode == 0, done.stderr
    assert "1 chunks in quarantine show their original lips" in done.stderr
    site.check("a", "b")
    results = [json.loads(path.read_text()) for path in site.state.glob("jobs/*/result.json")]
    assert sorted(result["original_chunks"] for result in results) == [[], [2]]
    (letter,) = site.letters()
    assert [attempt["blame"] for attempt in letter["attempts"]] == ["application"] * 3
    assert "RuntimeError: injected" in letter["attempts"][0]["detail"]


def test_a_chunk_that_hangs_is_ended_and_tried_again(site: Site) -> None:
    """A worker that stops in mid-frame is noticed by its counter, killed, and its chunk rendered by another."""
    site.inject(Fault(POISON, "frame:4", "hang"))
    done = site.run("engine.stall_s=3")
    assert done.returncode == 0, done.stderr
    site.check("a", "b")
    assert [event["blame"] for event in site.events("failed")] == ["stalled"]
    assert len(site.events("stalled")) == 1


def test_a_worker_killed_in_mid_encode_leaves_nothing(site: Site) -> None:
    """No part of a segment becomes visible, and the frames are those of an undisturbed run."""
    site.inject(Fault(POISON, "frame:7", "kill"), Fault(r"^assemble:b", "stitch", "kill"))
    done = site.run()
    assert done.returncode == 0, done.stderr
    assert site.hits == 2
    site.check("a", "b")
    assert np.array_equal(site.frames("a"), site.frames("b"))


def test_out_of_memory_is_tried_with_smaller_batches(site: Site) -> None:
    """The first time costs half the batch; the run goes on."""
    site.inject(Fault(POISON, "begin", "memory", times=2))
    done = site.run()
    assert done.returncode == 0, done.stderr
    site.check("a", "b")
    assert [event["blame"] for event in site.events("failed")] == ["memory"] * 2


@pytest.mark.parametrize(
    ("task", "at"),
    [
        (r"^render:", "before_lease"),
        (r"^render:a/1$", "after_segment"),
        (r"^render:a/1$", "after_marker"),
        (r"^assemble:a", "stitch"),
        (r"^assemble:a", "publish"),
    ],
)
def test_a_driver_killed_at_any_step_is_followed_by_another(site: Site, task: str, at: str) -> None:
    """The rerun finishes; chunks that were done are not done again."""
    site.inject(Fault(task, at, "kill_driver"))
    first = site.run()
    assert first.returncode == -signal.SIGKILL, first.stderr
    assert site.hits == 1
    finished = set(site.state.glob("jobs/*/chunks/*.json"))
    stamps = {path: path.stat().st_mtime_ns for path in finished}
    site.inject()
    second = site.run()
    assert second.returncode == 0, second.stderr
    site.check("a", "b")
    assert {path: path.stat().st_mtime_ns for path in finished} == stamps
    leased = [e["task"] for e in site.events("leased") if e["task"].startswith("render:")]
    assert len(leased) <= 2 * CHUNKS + 1


def test_two_drivers_at_once(site: Site) -> None:
    """The second is refused with the first one's name; the first is not disturbed."""
    first = site.begin()
    deadline = time.monotonic() + 60
    while not list(site.state.glob("driver/epoch-*.json")):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = site.run()
    assert second.returncode == 2
    assert f"must have one driver at a time, got process {first.pid}" in second.stderr
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    site.check("a", "b")


def test_one_of_two_jobs_can_be_cancelled(site: Site) -> None:
    """`cancel STATE ROW` ends that row while it waits for a slow chunk; the other one is finished."""
    site.inject(Fault(r"^render:a/0$", "frame:2", "hang"))
    going = site.begin("engine.stall_s=20", workers=2)
    deadline = time.monotonic() + 90
    while not (site.out / "b.mkv").exists():
        assert going.poll() is None, going.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asked = run("cancel", site.state, "a")
    assert asked.returncode == 0, asked.stderr
    _, errors = going.communicate(timeout=90)
    assert going.returncode == 1
    assert "FAILED a: row a: was cancelled" in errors
    site.check("b")
    nobody = run("cancel", site.state, "a")
    assert nobody.returncode == 2
    assert "must have a driver at work" in nobody.stderr


def test_a_row_that_waits_can_be_cancelled(site: Site) -> None:
    """The wish for a row that was not begun is kept until its turn comes: nothing of it is done."""
    site.inject(Fault(r"^render:a/0$", "frame:2", "hang"))
    going = site.begin("engine.stall_s=15", "engine.active_rows=1")
    deadline = time.monotonic() + 90
    while site.hits == 0:
        assert going.poll() is None, going.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for row in ("b", "a"):
        asked = run("cancel", site.state, row)
        assert asked.returncode == 0, asked.stderr
    _, errors = going.communicate(timeout=90)
    assert going.returncode == 1
    assert "FAILED a: row a: was cancelled" in errors
    assert "FAILED b: row b: was cancelled" in errors
    assert not [event for event in site.events("leased") if event["task"] == "probe:3"]
    assert not (site.out / "b.mkv").exists()


def test_damaged_segments_and_markers_are_done_again(site: Site) -> None:
    """A segment that was cut, one with a changed byte, and a marker that is no JSON cost only themselves."""
    site.inject(Fault(r"^assemble:", "begin", "kill_driver"))
    assert site.run().returncode == -signal.SIGKILL
    site.inject()
    (job,) = {path.parent.parent for path in site.state.glob("jobs/*/chunks/00003.json")} or {site.state}
    segments = sorted(job.glob("segments/*.mkv"))
    assert len(segments) == CHUNKS
    os.truncate(segments[0], segments[0].stat().st_size // 2)
    data = bytearray(segments[1].read_bytes())
    data[len(data) // 2] ^= 0xFF
    segments[1].write_bytes(data)
    (job / "chunks" / "00002.json").write_text("{")
    done = site.run()
    assert done.returncode == 0, done.stderr
    again = [e["task"].rsplit("/", 1)[-1] for e in site.events("done") if e["task"].startswith(f"render:{job.name}/")]
    assert sorted(again[CHUNKS:]) == ["0", "1", "2"]
    for row in ("a", "b"):
        assert len(site.frames(row)) == CHUNK * CHUNKS


def test_a_disk_that_fills_up_stops_the_run_cleanly(site: Site) -> None:
    """Where files may not grow, no row is published in part; with room the same command finishes."""
    import resource

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    import subprocess

    full = subprocess.run(
        site.words('engine.kind="inline"'), env=site.environment, capture_output=True, text=True, preexec_fn=small,
        timeout=120, check=False,
    )  # fmt: skip
    assert full.returncode in (1, 3), full.stderr
    assert not [path for path in site.out.rglob("*") if path.is_file()]
    assert not site.letters()
    done = site.run('engine.kind="inline"')
    assert done.returncode == 0, done.stderr
    site.check("a", "b")


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_twenty_random_faults_in_one_run(seed: int, tmp_path: Path) -> None:
    """Whatever is struck and in whatever order: in the end all rows are right, and no chunk was done twice."""
    site = Site(tmp_path, ROWS)
    site.inject(*chaos(seed))
    assert site.run_to_the_end("engine.stall_s=4", workers=2) == 0
    assert site.hits >= FAULTS // 2
    site.check(*ROWS)


def test_nothing_works(tmp_path: Path) -> None:
    """When most of the first tasks fail the run stops with one error, and quarantines nothing."""
    site = Site(tmp_path, tuple(f"r{n}" for n in range(14)))
    site.inject(Fault(r"^probe:", "begin", "raise", times=1000))
    done = site.run('engine.kind="inline"', "engine.active_rows=14")
    assert done.returncode == 3, done.stderr
    assert "most of the first tasks failed" in done.stderr
    assert not site.letters()
