"""The driver's part of a service, without its process: what it hears, and what it leaves for the run."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import EngineError, InputError, SetupError, StorageError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.runs.progress_events import RowEnded, RowProgress, RowsProgress, RunStarted
from lipwise_ray.runs.report import Report
from lipwise_ray.scheduler.ending import NOTHING_WORKS
from lipwise_ray.service import driver as driving
from lipwise_ray.service import held_rows, row_queue, row_reader
from lipwise_ray.service.driver import Driver
from lipwise_ray.service.wire import (
    AddRow,
    BeginDriver,
    CancelRow,
    DriverStands,
    FromDriver,
    PrioritiseRow,
    RowBegan,
    RowOver,
)
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome
from tests.support.service import quiet_settings, write_footage

_BROKEN = 0.77
_OWN = {"detect.min_score": str(_BROKEN)}

_HEARS_SIGTERM = """
import os, signal, sys, threading
from pathlib import Path
from lipwise_ray.service.driver import stop_at_sigterm
from tests.unit.service.test_driver import Heard

driver = Heard(Path(sys.argv[1])).driver
is_held, has_gone_on, in_time = threading.Event(), threading.Event(), []

def take_in():
    with driver._held._changed:
        is_held.set()
        in_time.append(has_gone_on.wait(10))

other = threading.Thread(target=take_in)
other.start()
is_held.wait()
stop_at_sigterm(driver)
os.kill(os.getpid(), signal.SIGTERM)
has_gone_on.set()
other.join()
print("in time", *in_time)
print("open", driver._queue.wait())
"""
"""In a process of its own: the signal may reach no other test."""


class Heard:
    """A driver whose lines the test reads."""

    def __init__(self, folder: Path, *more: str) -> None:
        source = quiet_settings(*more)
        self.uploads = folder / "uploads"
        self.uploads.mkdir()
        for name in ("v.mp4", "s.wav"):
            (self.uploads / name).touch()
        self.says: list[FromDriver] = []
        begin = BeginDriver(
            presets=str(source.presets),
            preset=source.preset,
            layers=tuple((where, dict(values)) for where, values in source.layers),
            state=str(folder / "state"),
            out=str(folder / "out"),
            uploads=str(self.uploads),
        )
        self.driver = Driver(begin, self.says.append)

    def add(self, name: str) -> None:
        """Hand it a row."""
        files = {"video": str(self.uploads / "v.mp4"), "audio": str(self.uploads / "s.wav")}
        self.driver._take(AddRow(name, 1, 1, 0, {"id": name, "output": f"{name}.mp4", **files}))

    @property
    def problem(self) -> str:
        """What it says last of why it cannot work."""
        return [one for one in self.says if isinstance(one, DriverStands)][-1].problem

    @property
    def overs(self) -> list[RowOver]:
        """The ends that it told."""
        return [one for one in self.says if isinstance(one, RowOver)]

    def go(self, name: str) -> None:
        """Let the run tell how far a row is."""
        self.driver._tell(RowsProgress((RowProgress(name, "rendering", 1, 2, 1, "j"),), 0))


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    """A driver."""
    return Heard(tmp_path)


def test_a_request_that_could_not_be_left_is_left_later(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses once loses no wish; what came too late is taken away, for the row may come again."""
    store, refusals = heard.driver._store, iter([True])
    write = store.write

    def writes(key: str, data: bytes) -> None:
        if next(refusals, False):
            raise StorageError("state_write", key, got="no room")
        write(key, data)

    monkeypatch.setattr(store, "write", writes)
    heard.add("a")
    assert heard.driver._queue.take(Counter(), 0.0) is not None
    heard.driver._take(CancelRow("a"))
    heard.go("a")
    assert store.names(layout.CONTROL) == []
    heard.go("a")
    assert store.names(layout.CONTROL) == [layout.cancel("a")]
    failure = RowFailure(code="not_media", message="is no video")
    heard.driver._tell(RowEnded(RowOutcome(row=1, row_id="a", job_id="j", result=failure, seconds=1.0)))
    assert store.names(layout.CONTROL) == []


def _fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("tempfile", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ("tempfile", OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
        ("tempfile", OSError(errno.EIO, os.strerror(errno.EIO))),
        ("tempfile", FileNotFoundError(errno.ENOENT, "No usable temporary directory found")),
        ("reader", StorageError("store_away", "s3://b", got="cannot be reached")),
        ("reader", SetupError("no_preset", "", got="the presets are away")),
        ("reader", sqlite3.OperationalError("database or disk is full")),
        ("reader", MemoryError()),
        ("path", OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
    ],
)
def test_a_fault_of_the_machine_fails_no_job(
    heard: Heard, place: str, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, and the reason is told; once the fault is over it is done as if nothing had been."""
    monkeypatch.setattr(held_rows, "_LEAST_PAUSE_S", 600.0)
    with monkeypatch.context() as faulty:
        if place == "tempfile":
            faulty.setattr(tempfile, "TemporaryDirectory", _fails(fault))
        elif place == "reader":
            faulty.setattr(row_reader, "read_manifest", _fails(fault))
        else:  # while our own copy of the row is read
            faulty.setattr("lipwise_ray.pipeline.manifest.manifest.sha256_of", _fails(fault))
        for name in ("a", "b", "c"):
            heard.add(name)
        assert heard.overs == []
        assert heard.problem.startswith("Jobs wait, for they cannot be taken up: ")
        heard.driver._take(CancelRow("b"))
        heard.driver._take(PrioritiseRow("c", 7))
        heard.driver._held.try_again()
        assert heard.problem
    assert [(one.id, one.status) for one in heard.overs] == [("b", "cancelled")]
    heard.driver._held.try_again()
    assert heard.problem == ""
    taken = [heard.driver._queue.take(Counter(), 0.0) for _ in range(3)]
    assert [row and row.id for row in taken] == ["c", "a", None]
    heard.driver.stop()


def test_a_held_job_is_tried_again_by_itself(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask for it."""
    monkeypatch.setattr(held_rows, "_LEAST_PAUSE_S", 0.001)
    faults = iter([OSError(errno.ENOSPC, "full")] * 3)
    real = row_reader.read_manifest

    def read(*given: Any, **named: Any) -> Any:
        if (fault := next(faults, None)) is not None:
            raise fault
        return real(*given, **named)

    monkeypatch.setattr(row_reader, "read_manifest", read)
    heard.add("a")
    assert heard.driver._queue.wait()
    assert heard.overs == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [(InputError("not_media", "v.mp4", got="is no video"), "not_media"), (ZeroDivisionError(), "internal")],
)
def test_a_fault_of_its_own_fails_a_job(
    heard: Heard, fault: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wait mends it, and the next job is taken up."""
    with monkeypatch.context() as faulty:
        faulty.setattr(row_reader, "read_manifest", _fails(fault))
        heard.add("a")
    heard.add("b")
    assert [(one.id, one.code) for one in heard.overs] == [("a", code)]
    assert [row.id for row in heard.driver._queue.rows()] == ["b"]


class Runs:
    """The runs of a driver, as the test has them end."""

    def __init__(self, heard: Heard, *ends: str | Exception) -> None:
        self._ends = [*ends]
        self.driver = heard.driver
        self.taken: list[list[str]] = []

    def dub_queue(self, rows: Any, *_: object) -> Report:
        at_work: Counter[str] = Counter()
        taken: list[str] = []
        while (row := rows.take(at_work)) is not None:
            at_work[row.tenant] += 1
            taken.append(row.id)
        self.taken.append(taken)
        self.driver._tell(RunStarted("r", "workers", 1))
        end = self._ends.pop(0)
        if not self._ends:
            self.driver.stop()
        if isinstance(end, Exception):
            raise end
        return Report("r", 0, 0, 0, 0.0, 0, 0, 0, stopped=end)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between runs that the test does not wait for."""
    monkeypatch.setattr(driving, "_LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr(driving, "_MOST_PAUSE_S", 0.001)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("full"), EngineError("head_lost", "ray", got="is gone")],
)
def test_a_run_that_the_machine_ends_is_done_again(
    heard: Heard, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on, and its rows wait for the next run."""
    runs = Runs(heard, fault, fault, "")
    monkeypatch.setattr(heard.driver, "_runner", runs)
    heard.add("a")
    assert heard.driver.work() is ExitCode.DONE
    assert runs.taken == [["a"]] * 3
    assert heard.overs == []
    assert any(isinstance(one, DriverStands) and one.problem for one in heard.says)


@pytest.mark.usefixtures("no_pause")
def test_jobs_with_which_nothing_works_fail_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few that are alone are not tried for ever; while they are, the service says that it is not ready."""
    heard = Heard(tmp_path, 'engine.kind="ray"')
    runs = Runs(heard, *[NOTHING_WORKS] * 8)
    monkeypatch.setattr(heard.driver, "_runner", runs)
    for name in ("a", "b", "c"):
        heard.add(name)
    assert heard.driver.work() is ExitCode.DONE
    assert [*map(sorted, runs.taken)][:5] == [["a", "b", "c"]] * 5
    assert [(one.id, one.status, one.code) for one in heard.overs] == [
        (name, "failed", NOTHING_WORKS) for name in ("a", "b", "c")
    ]
    assert all(one.message for one in heard.overs)
    assert heard.problem


def test_a_process_that_has_lost_its_own_gpu_makes_way(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an inline engine has lost only another process can have again; the reason is told first."""
    runs = Runs(heard, NOTHING_WORKS, "")
    monkeypatch.setattr(heard.driver, "_runner", runs)
    heard.add("a")
    assert heard.driver.work() is ExitCode.STOPPED
    assert runs.taken == [["a"]]
    assert heard.problem == NOTHING_WORKS


def test_sigterm_waits_for_no_lock(tmp_path: Path) -> None:
    """It comes to the main thread, which may itself hold what another one waits for; the driver stops all the same."""
    command = [sys.executable, "-c", _HEARS_SIGTERM, str(tmp_path)]
    done = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "in time True\nopen False\n"), done.stderr


def test_a_problem_ends_with_the_last_job_that_it_holds(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is cancelled too, nobody has to wait for the next try until the service is ready again."""
    monkeypatch.setattr(held_rows, "_LEAST_PAUSE_S", 600.0)
    monkeypatch.setattr(row_reader, "read_manifest", _fails(OSError(errno.ENOSPC, "full")))
    for name in ("a", "b"):
        heard.add(name)
    heard.driver._take(CancelRow("a"))
    assert heard.problem
    heard.driver._take(CancelRow("b"))
    assert heard.problem == ""
    heard.driver.stop()


def _loads(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """Let the models of a row with its own settings break as they are loaded."""
    load = Worker.load

    def loads(worker: Worker, jobs: list[ModelRequest]) -> None:
        if any(job.settings.detect.min_score == _BROKEN for job in jobs):
            raise fault
        load(worker, jobs)

    monkeypatch.setattr(Worker, "load", loads)


def _add_footage(heard: Heard, number: int, name: str, **columns: str) -> None:
    """Hand it a row that can be done."""
    write_footage(heard.uploads)
    files = {"video": str(heard.uploads / "v.mp4"), "audio": str(heard.uploads / "s.wav")}
    heard.driver._take(AddRow(name, 1, number, 0, {"id": name, "output": f"{name}.mp4", **files, **columns}))


def test_models_that_cannot_be_loaded_hold_up_no_other_job(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever job needs them meets the fault itself, if it is there still; the run goes on."""
    _loads(monkeypatch, SetupError("weights", "wav2lip", got="cannot be loaded"))
    monkeypatch.setattr(row_queue, "_IDLE_S", 0.0)
    _add_footage(heard, 1, "bad", **_OWN)
    _add_footage(heard, 2, "good")
    say = heard.driver._say

    def says(message: FromDriver) -> None:
        say(message)
        if len(heard.overs) == 2:
            heard.driver.stop()

    monkeypatch.setattr(heard.driver, "_say", says)
    assert heard.driver.work() is ExitCode.DONE
    assert sorted((one.id, one.status) for one in heard.overs) == [("bad", "completed"), ("good", "completed")]


def test_a_job_that_ends_the_process_while_its_models_are_loaded_is_known(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone was told of as begun: whoever starts the next process holds the end against it."""
    _loads(monkeypatch, ZeroDivisionError())
    _add_footage(heard, 1, "bad", **_OWN)
    _add_footage(heard, 2, "good")
    with pytest.raises(ZeroDivisionError):
        heard.driver.work()
    assert [one.id for one in heard.says if isinstance(one, RowBegan)] == ["bad"]


@pytest.mark.usefixtures("no_pause")
def test_models_that_workers_cannot_load_end_their_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of their own end the whole run by them: after some such runs the job is given up, with the reason."""
    heard = Heard(tmp_path, 'engine.kind="ray"')
    runs = Runs(heard, *[SetupError("weights", "wav2lip", got="cannot be loaded")] * 6)
    monkeypatch.setattr(heard.driver, "_runner", runs)
    heard.add("a")
    assert heard.driver.work() is ExitCode.DONE
    assert [(one.id, one.code) for one in heard.overs] == [("a", NOTHING_WORKS)]
    assert "cannot be loaded" in str(heard.overs[0].message)
