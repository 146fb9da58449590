"""Speeds are those of the latest jobs."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.state.speeds import LATEST_JOBS, JobSpeed, latest_speeds, write_speeds
from lipwise_ray.state.store import LocalStore


def test_the_latest_jobs_are_the_latest(tmp_path: Path) -> None:
    """Of several runs the last to end come first, whatever the jobs are called; damaged records are passed over."""
    store = LocalStore(tmp_path)
    assert latest_speeds(store) == []
    for run in range(3):
        jobs = [JobSpeed(100, 10, run * 1000.0 + number + 1) for number in range(150)]
        write_speeds(store, f"2026010{run + 1}T000000-{9 - run}", jobs)
    found = latest_speeds(store)
    assert len(found) == LATEST_JOBS
    assert [one.render_s for one in found[:2]] == [2150.0, 2149.0]
    assert found[-1].render_s == 1101.0
    store.write("speeds/20260104T000000-a.json", b'{"jobs": [{"frames": -1, "chunks": 1, "render_s": 1}]}')
    assert latest_speeds(store) == found


def test_a_run_leaves_a_small_record(tmp_path: Path) -> None:
    """Of many jobs the latest are kept, of none nothing."""
    store = LocalStore(tmp_path)
    write_speeds(store, "none", [])
    assert store.names("speeds") == []
    write_speeds(store, "many", [JobSpeed(10, 1, 1.0 + number, "cuda") for number in range(10_000)])
    assert (store.size("speeds/many.json") or 0) < 32_000
    assert latest_speeds(store)[0] == JobSpeed(10, 1, 10_000.0, "cuda")
