"""Order, budgets and retries, on an engine that does what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.dubbing.tasks import Kind, Lane, Task, rank
from lipwise_ray.engine.contract import Blame, Failure, Outcome
from lipwise_ray.engine.dispatcher import Budget, Dispatcher
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Json


class ScriptedEngine:
    """Two workers of each lane; a script decides how each attempt ends, and in which order."""

    device = "cpu"
    description = "scripted"

    def __init__(self, script: Callable[[Task, int], Blame | None], pick: Callable[[int], int] = lambda n: 0) -> None:
        self._script = script
        self._pick = pick
        self.workers: dict[str, Lane] = {"g0": "gpu", "g1": "gpu", "c0": "cpu"}
        self.busy: dict[str, Task] = {}
        self.log: list[str] = []
        self.count: dict[str, int] = {}

    def start(self, prepare: list[Json]) -> None:
        pass

    def idle(self, lane: Lane) -> list[str]:
        return [w for w, has in self.workers.items() if has == lane and w not in self.busy]

    def submit(self, worker: str, task: Task) -> None:
        assert worker not in self.busy
        assert self.workers[worker] == task.lane
        self.busy[worker] = task
        self.log.append(task.id)
        self.count[task.id] = self.count.get(task.id, 0) + 1

    def poll(self, timeout_s: float) -> list[Outcome]:
        names = sorted(self.busy)
        worker = names[self._pick(len(names)) % len(names)]
        task = self.busy.pop(worker)
        blame = self._script(task, self.count[task.id])
        if blame is None:
            return [Outcome(worker, task, {"id": task.id}, None)]
        return [Outcome(worker, task, None, Failure(blame, "code", f"{task.id} failed"))]

    def frames_done(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        pass


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


class Row:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.lost: list[str] = []

    def finished(self, task: Task, result: Json) -> None:
        assert result["id"] == task.id
        self.done.append(task.id)

    def failed(self, task: Task, failure: Failure) -> None:
        self.lost.append(task.id)


def _task(name: str, kind: Kind = "render", *, row: int = 0, priority: int = 0, chunk: int = 0) -> Task:
    return Task(name, kind, {}, 10, rank(kind, priority, row, chunk), "job")


def _run(dispatcher: Dispatcher) -> None:
    for _ in range(10_000):
        if not dispatcher.left:
            return
        dispatcher.step(0.1)
    raise AssertionError("the dispatcher does not come to an end")


def _dispatcher(engine: ScriptedEngine, root: Path, clock: Clock | None = None, attempts: int = 3) -> Dispatcher:
    clock = clock or Clock()
    return Dispatcher(engine, LocalStore(root), Budget(attempts, 1.0), clock, clock.sleep)


def test_priority_then_age_then_the_latest_stage(tmp_path: Path) -> None:
    """Higher priority first, then older rows; within a row what brings it to its end."""
    engine = ScriptedEngine(lambda task, n: None)
    engine.workers = {"g0": "gpu"}
    dispatcher, row = _dispatcher(engine, tmp_path), Row()
    for task in (
        _task("late", row=2),
        _task("scan", "scan", row=1),
        _task("second", row=1, chunk=1),
        _task("first", row=1, chunk=0),
        _task("urgent", row=9, priority=5),
    ):
        dispatcher.add(task, row)
    _run(dispatcher)
    assert engine.log == ["urgent", "first", "second", "scan", "late"]


@pytest.mark.parametrize(("blame", "attempts"), [("application", 3), ("crash", 3), ("input", 1), ("setup", 1)])
def test_budgets(blame: Blame, attempts: int, tmp_path: Path) -> None:
    """Errors of the code are tried again, errors of the input are not; the ledger has every attempt."""
    engine, clock = ScriptedEngine(lambda task, n: blame if task.id == "bad" else None), Clock()
    dispatcher, row = _dispatcher(engine, tmp_path, clock), Row()
    dispatcher.add(_task("bad"), row)
    dispatcher.add(_task("good"), row)
    _run(dispatcher)
    assert (row.done, row.lost) == (["good"], ["bad"])
    assert engine.count["bad"] == attempts
    assert clock.now >= (3.0 if attempts == 3 else 0.0)
    lines = (tmp_path / layout.attempts("job")).read_text().splitlines()
    events = [e["event"] for e in map(json.loads, lines) if e["task"] == "bad"]
    assert events == ["leased", "failed"] * attempts


def test_a_second_attempt_may_succeed(tmp_path: Path) -> None:
    """A task that fails twice and then works is done, and told once."""
    engine = ScriptedEngine(lambda task, n: "crash" if n < 3 else None)
    dispatcher, row = _dispatcher(engine, tmp_path), Row()
    dispatcher.add(_task("t"), row)
    _run(dispatcher)
    assert (row.done, row.lost) == (["t"], [])


def test_equal_work_is_done_once(tmp_path: Path) -> None:
    """Two rows that need the same scan share it, also when the second asks while it runs."""
    engine = ScriptedEngine(lambda task, n: None)
    dispatcher, one, two = _dispatcher(engine, tmp_path), Row(), Row()
    dispatcher.add(_task("scan", "scan"), one)
    dispatcher._hand_out()
    dispatcher.add(_task("scan", "scan", row=7), two)
    _run(dispatcher)
    assert engine.count == {"scan": 1}
    assert (one.done, two.done) == (["scan"], ["scan"])


def test_a_failed_row_takes_its_waiting_tasks_along(tmp_path: Path) -> None:
    """Tasks that only a lost row wanted are not run; shared ones are."""
    engine = ScriptedEngine(lambda task, n: None)
    engine.workers = {"g0": "gpu"}
    dispatcher, lost, other = _dispatcher(engine, tmp_path), Row(), Row()
    for n in range(5):
        dispatcher.add(_task(f"own{n}", chunk=n), lost)
    dispatcher.add(_task("shared", chunk=9), lost)
    dispatcher.add(_task("shared", chunk=9), other)
    dispatcher.step(0.1)
    dispatcher.drop(lost)
    _run(dispatcher)
    assert engine.log == ["own0", "shared"]
    assert other.done == ["shared"]


def test_draining_hands_out_nothing(tmp_path: Path) -> None:
    """While draining, running tasks end and queued ones stay."""
    engine = ScriptedEngine(lambda task, n: None)
    engine.workers = {"g0": "gpu"}
    dispatcher, row = _dispatcher(engine, tmp_path), Row()
    dispatcher.add(_task("a", chunk=0), row)
    dispatcher.add(_task("b", chunk=1), row)
    dispatcher._hand_out()
    for _ in range(3):
        dispatcher.step(0.1, lease=False)
    assert row.done == ["a"]
    assert dispatcher.left == 1


@given(
    st.lists(st.sampled_from(["render", "scan", "plan", "assemble"]), min_size=1, max_size=12),
    st.lists(st.sampled_from([None, None, "application", "crash", "input"]), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
)
def test_any_sequence_comes_to_an_end(
    tmp_path_factory, kinds: list[Kind], fates: list[Blame | None], picks: list[int]
) -> None:
    """Whatever fails and in whatever order: every task is told exactly once, no worker gets two."""
    turn = iter(range(10**9))
    engine = ScriptedEngine(
        lambda task, n: fates[next(turn) % len(fates)], pick=lambda n: picks[next(turn) % len(picks)]
    )
    dispatcher, row = _dispatcher(engine, tmp_path_factory.mktemp("s")), Row()
    tasks = [_task(f"{kind}{n}", kind, row=n % 3, chunk=n) for n, kind in enumerate(kinds)]
    for task in tasks:
        dispatcher.add(task, row)
    _run(dispatcher)
    assert sorted(row.done + row.lost) == sorted(task.id for task in tasks)
    assert max(engine.count.values()) <= 3
    assert not dispatcher.running
