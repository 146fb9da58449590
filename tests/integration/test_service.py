"""The service with a driver process of its own: jobs go through it, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.service.changes import JobChanged, JobProgressed
from lipwise_ray.service.service import Service
from lipwise_ray.state import layout
from tests.conftest import ROOT
from tests.support.dub import run, settings_arguments, write_manifest
from tests.support.service import QUIET, Watcher, draft, quiet_settings, write_footage

_SERVER = """
import sys, time
from pathlib import Path
from tests.support.service import Watcher, draft, quiet_settings
from lipwise_ray.service.service import Service

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    service = Service.open(folder, quiet_settings())
    watcher = Watcher(service)
    for _ in range(4):
        service.submit(draft(folder / "uploads"))
    watcher.until(lambda: service.counts()["completed"])
    print(service.driver_pid, flush=True)
    time.sleep(600)
"""


def _ends(watcher: Watcher, status: str) -> int:
    return sum(isinstance(one, JobChanged) and one.status == status for one in watcher.changes)


def _manifest(uploads: Path) -> Path:
    row = {"id": "cli", "video": uploads / "v.mp4", "audio": uploads / "s.wav", "output": "cli.mp4"}
    return write_manifest(uploads.parent / "rows.csv", [row])


def _busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def test_jobs_that_are_added_while_others_run(tmp_path: Path) -> None:
    """They are done, fail or are cancelled each for itself; what failed is done once its file is mended."""
    folder = tmp_path / "served"
    uploads = folder / "uploads"
    write_footage(uploads)
    write_footage(tmp_path / "long", frames=750)
    for name in ("v.mp4", "s.wav"):
        (tmp_path / "long" / name).rename(uploads / f"long-{name}")
    (uploads / "bad.mp4").write_bytes(b"no video")
    service = Service.open(folder, quiet_settings("chunk.frames=8"))
    watcher = Watcher(service)
    try:
        first = service.submit(draft(uploads))
        watcher.until(lambda: service.job(first.id).status == "processing")
        assert service.is_ready
        long = {"video": str(uploads / "long-v.mp4"), "audio": str(uploads / "long-s.wav")}
        endless = service.submit(draft(uploads, **long))
        bad = service.submit(draft(uploads, video=str(uploads / "bad.mp4")))
        others = [service.submit(draft(uploads, name=f"n{number}")) for number in range(3)]
        watcher.until(lambda: service.job(endless.id).status == "processing")
        assert service.cancel(endless.id).status == "processing"
        assert service.cancel(endless.id).id == endless.id
        watcher.until_ended(service)
        assert service.counts() == {"pending": 0, "processing": 0, "completed": 4, "failed": 1, "cancelled": 1}
        failed = service.job(bad.id)
        assert (failed.code, failed.status) == ("not_media", "failed")
        assert [service.job(one.id).output for one in others] == [
            f"{service.out}/{one.id}/{one.name}.mp4" for one in others
        ]
        assert service.job(first.id).duration_s == pytest.approx(0.48, abs=0.05)
        assert any(isinstance(one, JobProgressed) and one.id == first.id for one in watcher.changes)

        with pytest.raises(StateError, match="in use by process"):
            Service.open(folder, quiet_settings())
        again = service.retry(bad.id, {"video": str(uploads / "v.mp4")})
        assert (again.status, again.attempts, again.code) == ("pending", 2, None)
        watcher.until_ended(service)
        assert service.job(bad.id).status == "completed"
    finally:
        service.close()
    state = service.store.address
    status = json.loads(run("status", state, "--json").stdout)
    assert status["manifest"] == "the queue of the service"
    assert (status["left"], status["holder"]) == (0, None)
    assert run("report", state).returncode == 0


@pytest.mark.slow
def test_an_idle_service_costs_nothing(tmp_path: Path) -> None:
    """Between runs its processes wait for what comes, and the state is anybody's."""
    service = Service.open(tmp_path / "served", quiet_settings())
    watcher = Watcher(service)
    try:
        write_footage(service.uploads)
        service.submit(draft(service.uploads))
        watcher.until_ended(service)
        assert service.driver_pid is not None
        driver = psutil.Process(service.driver_pid)
        while not (service.store.names(layout.SPEEDS)):  # written with the run's report
            time.sleep(0.1)
        time.sleep(0.5)
        before_s, switches = _busy_s(driver), driver.num_ctx_switches().voluntary
        time.sleep(2.0)
        assert _busy_s(driver) - before_s < 0.05
        assert driver.num_ctx_switches().voluntary - switches < 4
        done = run("submit", _manifest(service.uploads), "--state", service.store.address, *settings_arguments(*QUIET))
        assert done.returncode == 0, done.stderr
    finally:
        service.close()


@pytest.mark.slow
def test_a_driver_that_is_killed(tmp_path: Path) -> None:
    """Another one goes on; every job is done once."""
    service = Service.open(tmp_path / "served", quiet_settings())
    watcher = Watcher(service)
    try:
        write_footage(service.uploads)
        jobs = [service.submit(draft(service.uploads)) for _ in range(4)]
        watcher.until(lambda: service.counts()["completed"])
        assert service.driver_pid is not None
        os.kill(service.driver_pid, signal.SIGKILL)
        watcher.until_ended(service)
    finally:
        service.close()
    assert [service.job(job.id).status for job in jobs] == ["completed"] * 4
    assert _ends(watcher, "completed") == 4


@pytest.mark.slow
def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """Its driver ends with it; the next server goes on with what is left, and does nothing twice."""
    folder = tmp_path / "served"
    write_footage(folder / "uploads")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(folder)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    driver = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()
    assert psutil.wait_procs([driver], timeout=60)[1] == []
    done = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.mp4")}
    assert done
    service = Service.open(folder, quiet_settings())
    watcher = Watcher(service)
    try:
        watcher.until_ended(service)
    finally:
        service.close()
    assert service.counts()["completed"] == 4
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(list((folder / "out").rglob("*.mp4"))) == 4
