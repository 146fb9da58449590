"""Jobs and a driver process that dies, lies idle, or answers late: none is lost and none is done twice."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.service import feed as feeding
from lipwise_ray.service.changes import Change, JobProgressed
from lipwise_ray.service.driver_process import DriverEnd
from lipwise_ray.service.feed import JobFeed
from lipwise_ray.service.job_record import BatchItem, ServiceBatch, ServiceJob
from lipwise_ray.service.job_store import JobStore
from lipwise_ray.service.wire import (
    AddRow,
    BeginDriver,
    CancelRow,
    DriverStands,
    FromDriver,
    PrioritiseRow,
    RowBegan,
    RowOver,
    RowWent,
    ToDriver,
    from_driver,
    line_of,
    to_driver,
)
from lipwise_ray.state.local import LocalStore

BEGIN = BeginDriver(
    presets="p", preset="quality", layers=(("--set", {"a": {"b": 1}}),), state="s", out="o", uploads="u"
)


class ScriptedDriver:
    """A driver that says what the test says, and ends when it says so."""

    pid = 1

    def __init__(self) -> None:
        self.end = DriverEnd.of(1)
        self.heard: queue.SimpleQueue[ToDriver | None] = queue.SimpleQueue()
        self._says: queue.SimpleQueue[FromDriver | None] = queue.SimpleQueue()

    def send(self, message: ToDriver) -> None:
        self.heard.put(to_driver(line_of(message)))

    def end_input(self) -> None:
        self._says.put(None)

    def say(self, message: FromDriver) -> None:
        self._says.put(from_driver(line_of(message)))

    def messages(self) -> Iterator[FromDriver]:
        while (message := self._says.get()) is not None:
            yield message

    def wait(self) -> DriverEnd:
        return self.end

    kill = end_input


class Fed:
    """A feed whose drivers the test plays."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(folder)
        self.jobs = JobStore(self.store)
        self.told: list[Change] = []
        self._asked = 0
        self._drivers: queue.SimpleQueue[ScriptedDriver] = queue.SimpleQueue()
        self.feed = JobFeed(BEGIN, self.jobs, self.told.append, self._make)

    def _make(self, begin: BeginDriver) -> ScriptedDriver:
        assert begin == BEGIN
        driver = ScriptedDriver()
        self._drivers.put(driver)
        return driver

    def driver(self) -> ScriptedDriver:
        """Return the next driver that was started."""
        return self._drivers.get(timeout=20)

    def add(self, name: str) -> ServiceJob:
        """Add a job and offer it."""
        job = _job(name)
        self.jobs.put(job)
        self.feed.offer([job])
        return job

    def settled(self, driver: ScriptedDriver, *messages: FromDriver) -> None:
        """Let a driver say something, and wait until it was heard."""
        self._asked += 1
        for message in (*messages, DriverStands(f"heard {self._asked}")):
            driver.say(message)
        waits = threading.Event()
        while self.feed.problem != f"heard {self._asked}":
            waits.wait(0.001)


@pytest.fixture
def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fed]:
    """A feed that was started."""
    monkeypatch.setattr(feeding, "_LEAST_PAUSE_S", 0.001)
    fed = Fed(tmp_path)
    fed.feed.start()
    yield fed
    fed.feed.close(20)


def _job(name: str) -> ServiceJob:
    return ServiceJob(
        id=name, created=1.0, changed=1.0, status="pending", columns={"id": name}, door="t", name="n", number=1
    )


def _added(driver: ScriptedDriver) -> str:
    message = driver.heard.get(timeout=20)
    assert isinstance(message, AddRow)
    return message.id


def _done(name: str, attempt: int = 1) -> RowOver:
    return RowOver(id=name, attempt=attempt, status="completed", run_id="r", job_id="j", output="o", duration_s=1.0)


def test_the_life_of_a_job(fed: Fed) -> None:
    """It goes to the driver, is begun, goes on and ends; each is known at once."""
    driver = fed.driver()
    fed.add("a")
    assert _added(driver) == "a"
    fed.settled(driver, RowBegan("a", "r"), RowWent("a", "rendering", 10, 40), RowWent("a", "rendering", 20, 40))
    assert (fed.jobs.get("a").status, fed.jobs.get("a").run_id) == ("processing", "r")
    progress = fed.feed.progress("a")
    assert progress is not None
    assert (progress.stage, progress.frames_done, progress.frames_total) == ("rendering", 20, 40)
    assert progress.eta_s is not None
    fed.feed.prioritise("a", 3)
    assert driver.heard.get(timeout=20) == PrioritiseRow("a", 3)
    fed.settled(driver, _done("a"))
    job = JobStore(fed.store).get("a")
    assert (job.status, job.job_id, job.output, job.duration_s) == ("completed", "j", "o", 1.0)
    assert fed.feed.progress("a") is None
    assert [one.id for one in fed.told if isinstance(one, JobProgressed)] == ["a", "a"]


def test_a_job_that_is_wanted_again_while_the_driver_has_it(fed: Fed) -> None:
    """It is sent once more when the driver has let go of it; the late end of the first attempt changes nothing."""
    driver = fed.driver()
    job = fed.add("a")
    _added(driver)
    fed.feed.cancel("a")
    assert driver.heard.get(timeout=20) == CancelRow("a")
    again = replace(job, attempts=2)
    fed.jobs.put(again)
    fed.feed.offer([again])
    fed.settled(driver, RowBegan("a", "r"), RowOver(id="a", attempt=1, status="cancelled"))
    assert _added(driver) == "a"
    assert fed.jobs.get("a").status == "pending"
    fed.settled(driver, _done("a", 2))
    assert fed.jobs.get("a").status == "completed"


def test_a_job_that_ends_its_driver_is_given_up_alone(fed: Fed) -> None:
    """Those that were at work beside it are done; nothing else is begun until it is known which it was."""
    names = ["a", "b", "c"]
    driver = fed.driver()
    for name in names:
        fed.add(name)
    for _ in range(2):  # all at once, twice
        assert [_added(driver) for _ in names] == names
        fed.settled(driver, *(RowBegan(name, "r") for name in names))
        driver.end_input()
        driver = fed.driver()
    fed.add("late")
    for name in names:  # then one by one
        assert _added(driver) == name
        assert driver.heard.empty()
        fed.settled(driver, RowBegan(name, "r"))
        if name == "b":
            driver.end_input()
            driver = fed.driver()
        else:
            fed.settled(driver, _done(name))
    assert _added(driver) == "late"
    assert [fed.jobs.get(name).status for name in names] == ["completed", "failed", "completed"]
    job = fed.jobs.get("b")
    assert job.code == "driver_died"
    assert "while it had this job alone" in (job.message or "")


def test_an_end_that_cannot_be_written_down_is_not_forgotten(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written once the disk has room."""
    driver, write = fed.driver(), fed.store.write
    fed.add("a")
    _added(driver)
    refusals = iter([True, True, False])

    def writes(key: str, data: bytes) -> None:
        if next(refusals, False):
            raise StorageError("state_write", key, got="no room")
        write(key, data)

    monkeypatch.setattr(fed.store, "write", writes)
    fed.settled(driver, _done("a"))
    assert fed.jobs.get("a").status == "completed"


def test_a_driver_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, and whoever asks is told why nothing is done."""
    monkeypatch.setattr(feeding, "_LEAST_PAUSE_S", 0.001)
    fed, starts = Fed(tmp_path), iter([True])
    make: Callable[[BeginDriver], ScriptedDriver] = fed._make  # the test's own

    def fails_first(begin: BeginDriver) -> ScriptedDriver:
        if next(starts, False):
            raise OSError(12, "Cannot allocate memory")
        return make(begin)

    fed.feed = JobFeed(BEGIN, fed.jobs, fed.told.append, fails_first)
    fed.feed.start()
    driver = fed.driver()
    assert "cannot be started: [Errno 12]" in fed.feed.problem
    fed.settled(driver, DriverStands())
    fed.feed.close(20)
    assert fed.feed.pid is None


def test_a_cancelled_job_whose_driver_dies_is_cancelled(fed: Fed) -> None:
    """Nobody does it once more: its client was told that it is cancelled."""
    driver = fed.driver()
    job = fed.add("a")
    _added(driver)
    fed.settled(driver, RowBegan("a", "r"))
    fed.jobs.put(replace(fed.jobs.get(job.id), is_unwanted=True))
    fed.feed.cancel("a")
    driver.end_input()
    fed.settled(fed.driver())
    after = JobStore(fed.store).get("a")
    assert (after.status, after.is_unwanted) == ("cancelled", None)


def test_one_end_of_a_driver_counts_once(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it takes until its jobs are written down as waiting."""
    driver, write = fed.driver(), fed.store.write
    fed.add("a")
    _added(driver)
    fed.settled(driver, RowBegan("a", "r"))
    refusals = iter([True] * 4)

    def writes(key: str, data: bytes) -> None:
        if next(refusals, False):
            raise StorageError("state_write", key, got="no room")
        write(key, data)

    monkeypatch.setattr(fed.store, "write", writes)
    driver.end_input()
    assert _added(fed.driver()) == "a"
    assert fed.jobs.get("a").status == "pending"


def test_a_job_of_half_a_batch_is_not_begun(fed: Fed) -> None:
    """Its batch may not be written to its end: then its client asks once more for all of it."""
    driver = fed.driver()
    fed.jobs.put(replace(_job("a"), batch="b1"))
    fed.feed.offer(fed.jobs.unfinished())
    fed.add("late")
    assert _added(driver) == "late"
    fed.jobs.put_batch(ServiceBatch(id="b1", created=1.0, door="t", items=(BatchItem("n", "a"),)))
    fed.feed.offer(fed.jobs.unfinished())
    assert _added(driver) == "a"


def _with_suspect(fed: Fed) -> ScriptedDriver:
    """Return a driver that does `bad` alone: it was at work when two drivers ended."""
    driver = fed.driver()
    fed.add("bad")
    for _ in range(2):
        assert _added(driver) == "bad"
        fed.settled(driver, RowBegan("bad", "r"))
        driver.end_input()
        driver = fed.driver()
    assert _added(driver) == "bad"
    return driver


def test_a_cancelled_suspect_blocks_nobody(fed: Fed) -> None:
    """What ended drivers and was cancelled is not done alone any more: others are begun with the next driver."""
    driver = _with_suspect(fed)
    fed.add("b")
    fed.add("c")
    fed.jobs.put(replace(fed.jobs.get("bad"), status="cancelled"))  # while it waits still
    fed.feed.cancel("bad")
    driver.end_input()
    driver = fed.driver()
    assert [_added(driver) for _ in "bc"] == ["b", "c"]


def test_others_go_on_once_a_cancelled_suspect_is_let_go(fed: Fed) -> None:
    """The driver that has it need not end for that."""
    driver = _with_suspect(fed)
    fed.add("b")
    fed.jobs.put(replace(fed.jobs.get("bad"), status="cancelled"))
    fed.feed.cancel("bad")
    assert driver.heard.get(timeout=20) == CancelRow("bad")
    driver.say(RowOver(id="bad", attempt=1, status="cancelled"))
    assert _added(driver) == "b"


def test_a_message_that_nobody_expects_ends_nothing(fed: Fed) -> None:
    """One of a job that there is not is passed over; the next one is heard."""
    driver = fed.driver()
    fed.add("a")
    _added(driver)
    fed.settled(driver, RowBegan("unknown", "r"), _done("unknown"), RowBegan("a", "r"), _done("a"))
    assert fed.jobs.get("a").status == "completed"


def test_a_refusal_that_is_over_is_no_problem_any_more(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told of it while it lasts, and no longer."""
    driver, write = fed.driver(), fed.store.write
    fed.add("a")
    fed.add("b")
    fed.settled(driver)
    problems: list[str] = []

    def writes(key: str, data: bytes) -> None:
        problems.append(fed.feed.problem)
        if len(problems) == 1:
            raise StorageError("state_write", key, got="no room")
        write(key, data)

    monkeypatch.setattr(fed.store, "write", writes)
    fed.settled(driver, DriverStands(), _done("a"), _done("b"))
    assert problems[0] == ""
    assert "no room" in problems[1]
    assert problems[2] == ""


def test_a_machine_that_ends_every_driver_gives_up_few_jobs(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own words are in the reason; past so many, nothing is given up until one is done."""
    monkeypatch.setattr(feeding, "_MOST_PAUSE_S", 0.001)
    jobs = [fed.add(f"j{number}") for number in range(9)]
    for _ in range(60):
        driver = fed.driver()
        fed.settled(driver)
        sent: list[str] = []
        while not driver.heard.empty():
            sent.append(_added(driver))
        fed.settled(driver, *(RowBegan(name, "r") for name in sent))
        driver.say(DriverStands("the GPU is gone."))
        driver.end_input()
    failed = [job for job in (fed.jobs.get(one.id) for one in jobs) if job.status == "failed"]
    assert len(failed) == feeding.MOST_UNPROVEN
    assert {job.code for job in failed} == {"driver_died"}
    assert all("the GPU is gone." in str(job.message) for job in failed)
    driver = fed.driver()
    fed.settled(driver, RowBegan("j8", "r"), _done("j8"))
    assert fed.jobs.get("j8").status == "completed"
    left = [job.id for job in fed.jobs.unfinished()]
    assert len(left) == len(jobs) - len(failed) - 1
