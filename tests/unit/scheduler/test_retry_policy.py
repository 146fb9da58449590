"""Processes, nodes and runs that are sick, told from tasks that are bad."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.pipeline.flows.task_kinds import RENDER
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.engine import DEVICE_ERROR, INTERNAL, WorkerSlot
from lipwise_ray.scheduler.retry_policy import (
    Budgets,
    CircuitBreaker,
    NodeHealth,
    Place,
    ProcessHealth,
    TaskHistory,
    decide_retry,
    spoils_its_process,
)
from lipwise_ray.scheduler.task import Blame, Failure, Task
from lipwise_ray.state import quarantine
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import LocalStore
from tests.support.rows import Rows
from tests.support.scripted import Clock, Row, ScriptedEngine, make_task

ONE = (WorkerSlot("g0", "gpu", "one"),)
TWO = (WorkerSlot("g0", "gpu", "one"), WorkerSlot("g1", "gpu", "one"))


def _work(engine: ScriptedEngine, root: Path, tasks: list[Task]) -> tuple[Dispatcher, Row]:
    clock, store = Clock(), LocalStore(root)
    dispatcher, row = Dispatcher(engine, store, Ledger(store, "run"), clock=clock, sleep=clock.sleep), Row()
    for task in tasks:
        dispatcher.add(task, row)
    for _ in range(5000):
        if not dispatcher.left or dispatcher.breaker.reason:
            return dispatcher, row
        dispatcher.step(0.1)
    raise AssertionError("the dispatcher does not come to an end")


def _tasks(count: int, name: str = "t") -> list[Task]:
    return [make_task(f"{name}{n}", row=n, job=f"{name}{n}") for n in range(count)]


@pytest.mark.parametrize("code", [INTERNAL, DEVICE_ERROR])
@pytest.mark.parametrize("slots", [ONE, TWO])
def test_a_process_that_lost_its_gpu_is_ended(code: str, slots: tuple[WorkerSlot, ...], tmp_path: Path) -> None:
    """Every process fails from its 15th task on: each is ended at once, and no task is given up."""
    done: Counter[str] = Counter()

    def script(task: Task, n: int, slot: WorkerSlot) -> str | None:
        done[slot.worker] += 1
        return code if done[slot.worker] > 14 else None

    engine = ScriptedEngine(script, slots=slots)
    dispatcher, row = _work(engine, tmp_path, _tasks(100))
    assert (len(row.done), row.lost) == (100, [])
    assert max(done.values()) == 15
    assert dispatcher.breaker.reason is None


@pytest.mark.parametrize("blame", ["application", "storage", "memory", INTERNAL, DEVICE_ERROR])
def test_one_sick_worker_of_two_swallows_nothing(blame: str, tmp_path: Path) -> None:
    """It fails whatever it gets, at once, and so gets the most; it is replaced after two tasks at most."""
    done: Counter[str] = Counter()

    def script(task: Task, n: int, slot: WorkerSlot) -> str | None:
        done[slot.worker] += 1
        return blame if slot.worker == "g0" and done[slot.worker] > 5 else None

    engine = ScriptedEngine(script, pick=lambda n: 0, slots=TWO)
    _, row = _work(engine, tmp_path, _tasks(80))
    assert (len(row.done), row.lost) == (80, [])
    assert engine.renewed == ["g0"]
    assert done["g0"] <= 5 + 4


def test_a_broken_gpu_of_two_swallows_nothing(tmp_path: Path) -> None:
    """Fresh processes do not mend it: what failed there is tried where something has just worked."""
    turns = count()
    engine = ScriptedEngine(
        lambda task, n, slot: DEVICE_ERROR if slot.worker.startswith("g0") else None,
        pick=lambda n: next(turns) % 3 % n,  # twice as often the one that fails
        slots=TWO,
    )
    _, row = _work(engine, tmp_path, _tasks(80))
    assert (len(row.done), row.lost) == (80, [])
    assert max(engine.count.values()) == 2


@pytest.mark.parametrize(("blame", "attempts"), [(INTERNAL, 4), (DEVICE_ERROR, 4), ("crash", 3), ("application", 3)])
@pytest.mark.parametrize("slots", [ONE, TWO])
def test_a_task_that_poisons_every_process_is_given_up(
    blame: str, attempts: int, slots: tuple[WorkerSlot, ...], tmp_path: Path
) -> None:
    """After its budget, of which one attempt was a fresh process's first; the others are done."""
    engine = ScriptedEngine(lambda task, n, slot: blame if task.id == "t5" else None, slots=slots)
    _, row = _work(engine, tmp_path, _tasks(40))
    assert row.lost == ["t5"]
    assert len(row.done) == 39
    assert 3 <= engine.count["t5"] <= attempts
    assert len(quarantine.keys(LocalStore(tmp_path))) == 1


@pytest.mark.parametrize("blame", ["application", "storage", "memory", INTERNAL])
def test_tasks_that_excuse_each_other_come_to_an_end(blame: str, tmp_path: Path) -> None:
    """Two bad tasks in turns make every process look sick: they are excused a few times only."""
    engine = ScriptedEngine(lambda task, n, slot: blame, slots=ONE)
    _, row = _work(engine, tmp_path, _tasks(2))
    assert sorted(row.lost) == ["t0", "t1"]
    assert max(engine.count.values()) <= 6


def test_a_task_does_not_fail_in_one_process_only(tmp_path: Path) -> None:
    """Its last attempt is made in another one, though nothing else shows the first to be sick."""
    engine = ScriptedEngine(lambda task, n, slot: "application" if slot.worker == "g0" else None, slots=ONE)
    _, row = _work(engine, tmp_path, _tasks(1))
    assert row.done == ["t0"]
    assert engine.renewed == ["g0"]


def test_without_a_process_to_end_a_lost_gpu_stops_the_run(tmp_path: Path) -> None:
    """The driver's own process cannot be replaced: nothing is charged, and the same command goes on."""
    engine = ScriptedEngine(lambda task, n, slot: DEVICE_ERROR if engine_count() > 3 else None, slots=ONE)
    engine.has_processes = False

    def engine_count() -> int:
        return len(engine.log)

    dispatcher, row = _work(engine, tmp_path, _tasks(20))
    assert dispatcher.breaker.reason is not None
    assert len(row.done) == 3
    assert not row.lost
    assert not quarantine.keys(LocalStore(tmp_path))


def test_a_run_may_fall_sick_late(tmp_path: Path) -> None:
    """After many good tasks nothing works any more: it stops, and gives nothing up."""
    engine = ScriptedEngine(lambda task, n, slot: "application" if len(engine.log) > 50 else None, slots=TWO)
    dispatcher, row = _work(engine, tmp_path, _tasks(100))
    assert dispatcher.breaker.reason is not None
    assert 49 <= len(row.done) <= 50
    assert not row.lost
    assert len(engine.count) < 50 + 15


@pytest.mark.parametrize("first", [0, 20])
def test_a_few_bad_rows_beside_each_other_do_not_stop_a_run(first: int, tmp_path: Path) -> None:
    """They take all places at a time: others are begun beside them, which shows that the run is well."""
    rows = Rows(tmp_path, [1] * 40, most_chunks=100, most_rows=8)
    bad = range(first, first + 8)
    rows.engine._script = lambda task, n, slot: INTERNAL if rows.row_of(task) in bad else None
    rows.work()
    assert (rows.run.totals["done"], rows.run.totals["failed"]) == (32, 8)


def test_a_run_of_bad_rows_only_stops(tmp_path: Path) -> None:
    """Fewer than the rule would look at, but nothing else is left to try."""
    rows = Rows(tmp_path, [1] * 9, most_chunks=100, most_rows=8)
    rows.engine._script = lambda task, n, slot: INTERNAL
    rows.work()
    assert (rows.run.totals["done"], rows.run.totals["failed"]) == (0, 0)
    assert rows.listener.lines[-1].startswith("error: run run: most of the latest tasks failed")


def test_marks_against_a_node_fade() -> None:
    """With each task that succeeds there, and with time."""
    known = NodeHealth()
    assert [known.failed(f"t{n}", "one", float(n)) for n in range(3)] == [False, False, True]
    known.succeeded("one")
    assert not known.avoided(3.0)
    assert known.failed("t3", "one", 3.0)
    assert known.avoided(600.0) == {"one"}
    assert not known.avoided(601.5)


BLAMES: list[Blame] = ["input", "setup", "application", "storage", "signer", "crash", "stalled", "memory", "node"]


@given(st.lists(st.tuples(st.sampled_from(BLAMES), st.integers(0, 2), st.booleans(), st.booleans()), max_size=60))
def test_any_history_of_failures_ends(failures: list[tuple[Blame, int, bool, bool]]) -> None:
    """However failures are excused, a task is given up after a number of attempts that the budgets bound."""
    record, budgets = TaskHistory(), Budgets(application=3, memory=2, infrastructure=4)
    attempts = 0
    for blame, worker, is_internal, is_excused in failures:
        attempts += 1
        failure = Failure(blame, INTERNAL if is_internal else "code", "m")
        retry = decide_retry(record, failure, Place("one", str(worker), fresh=is_excused), budgets)
        if is_excused and blame in ("application", "storage", "signer", "memory") and record.excuse(blame, budgets):
            continue
        if retry is None:
            break
        assert retry.after_s <= budgets.longest_backoff_s
    assert attempts <= 3 + 2 + 4 + budgets.application
    assert record.excused <= budgets.application


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([None, "application", "input"]))))
def test_a_process_is_sick_after_two_tasks_in_a_row(ended: list[tuple[int, int, Blame | None]]) -> None:
    """Two different ones, with no success between; failures of inputs count neither way."""
    processes = ProcessHealth()
    latest: dict[int, set[str]] = {}
    for worker, number, blame in ended:
        name, task = f"w{worker}", f"t{number}"
        if blame is None:
            processes.succeeded(name)
            latest[worker] = set()
        else:
            if blame == "application":
                latest.setdefault(worker, set()).add(task)
            in_a_row = set(processes.failed(name, task, blame))
            expected = latest.get(worker, set())
            assert in_a_row == (expected if len(expected) > 1 and blame == "application" else set())
        assert processes.is_proven(name) == (latest.get(worker) == set())
        assert not processes.is_fresh(name)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.booleans()), max_size=200))
def test_a_sick_run_has_failed_in_most_of_its_latest_tasks(ended: list[tuple[int, int, bool]]) -> None:
    """The rule speaks only at a failure, when ten of the latest twelve tasks of a kind failed, in three jobs."""
    breaker = CircuitBreaker()
    latest: dict[str, tuple[bool, int]] = {}
    failure = Failure("application", "code", "m")
    for number, job, failed in ended:
        task = make_task(f"t{number}", job=f"j{job}")
        latest.pop(task.id, None)
        latest[task.id] = (failed, job)
        if failed:
            breaker.failed(task, failure)
        else:
            breaker.succeeded(task)
        if breaker.reason:
            window = list(latest.values())[-12:]
            assert failed
            assert sum(bad for bad, _ in window) >= 10
            assert len({job for bad, job in window if bad}) >= 3
            return


def test_a_broken_gpu_beside_processors_that_work_stops_the_run(tmp_path: Path) -> None:
    """Every row's render fails, while probing and planning go on to succeed: nothing is given up."""
    rows = Rows(tmp_path, [1] * 60, most_chunks=100, most_rows=4)
    rows.engine._script = lambda task, n, slot: DEVICE_ERROR if task.kind is RENDER else None
    rows.work()
    assert (rows.run.totals["done"], rows.run.totals["failed"]) == (0, 0)
    assert not quarantine.keys(LocalStore(tmp_path))


def test_what_spoils_a_process() -> None:
    """Errors that nobody foresaw and errors of a GPU; not those that are told in so many words."""
    assert spoils_its_process(Failure("application", INTERNAL, "m"))
    assert spoils_its_process(Failure("application", DEVICE_ERROR, "m"))
    assert not spoils_its_process(Failure("application", "segment", "m"))
