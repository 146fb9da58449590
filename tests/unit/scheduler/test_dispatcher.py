"""Order, budgets and retries, on an engine that does what the test says."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.scheduler.task import Blame, Failure, Task
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import Clock, Row, ScriptedEngine, make_dispatcher, make_task, run_out


def test_priority_then_age_then_the_latest_stage(tmp_path: Path) -> None:
    """Higher priority first, then older rows; within a row what brings it to its end."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for task in (
        make_task("late", row=2),
        make_task("scan", "scan", row=1),
        make_task("second", row=1, chunk=1),
        make_task("first", row=1, chunk=0),
        make_task("urgent", row=9, priority=5),
    ):
        dispatcher.add(task, row)
    run_out(dispatcher)
    assert engine.log == ["urgent", "first", "second", "scan", "late"]


def test_among_equals_the_longest_job_first(tmp_path: Path) -> None:
    """Of rows begun together the longest goes first, those begun later wait; an unknown length is found out."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for task in (
        make_task("short", row=1, length=10),
        make_task("long", row=2, length=1000),
        make_task("later and longer", row=3, length=5000, admission_round=1),
        make_task("unknown", row=4, length=None),
    ):
        dispatcher.add(task, row)
    run_out(dispatcher)
    assert engine.log == ["unknown", "long", "short", "later and longer"]


def test_tenants_are_served_alike(tmp_path: Path) -> None:
    """By frames, not by tasks: long chunks of one do not keep short ones of another waiting; priority comes first."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for number in range(4):
        dispatcher.add(make_task(f"film{number}", row=1, chunk=number, tenant="film", frames=300, length=1200), row)
    for number in range(8):
        dispatcher.add(make_task(f"clip{number}", row=2 + number, tenant="clips", frames=100, length=100), row)
    dispatcher.add(make_task("urgent", row=99, priority=1, tenant="film", frames=300), row)
    run_out(dispatcher)
    assert engine.log[0] == "urgent"
    served = {"film": 0, "clip": 0}
    for name in engine.log[1:9]:
        kind = name.rstrip("0123456789")
        served[kind] += 300 if kind == "film" else 100
        assert abs(served["film"] - served["clip"]) <= 300
    assert set(engine.log) >= {f"film{n}" for n in range(4)} | {f"clip{n}" for n in range(8)}


def test_a_row_that_loses_two_tasks_at_once(tmp_path: Path) -> None:
    """The last two tasks of a row are given up together, and the row drops both at the first: each has its dead letter,
    and the other row goes on.
    """

    class Strict(Row):
        def failed(self, task: Task, failure: Failure) -> None:
            super().failed(task, failure)
            dispatcher.drop(self)

    engine, clock = ScriptedEngine(lambda task, n, slot: "crash" if task.id.startswith("bad") else None), Clock()
    dispatcher, strict, other = make_dispatcher(engine, tmp_path, clock), Strict(), Row()
    for name in ("bad1", "bad2"):
        dispatcher.add(make_task(name), strict)
    run_out(dispatcher)
    assert len(strict.lost) == 1
    assert len(quarantine.keys(LocalStore(tmp_path))) == 2
    dispatcher.add(make_task("good"), other)
    run_out(dispatcher)
    assert other.done == ["good"]


def test_a_tenant_that_comes_later_does_not_take_over(tmp_path: Path) -> None:
    """What others got before it came is not owed to it, nor what many small ones get to a large one."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for number in range(40):
        dispatcher.add(make_task(f"film{number}", row=1, chunk=number, tenant="film"), row)
    for number in range(20):
        dispatcher.step(0.1)
        dispatcher.add(make_task(f"clip{number}", row=2 + number, tenant=f"tag{number}"), row)
    while dispatcher.left > 15:
        dispatcher.step(0.1)
    later = engine.log[5:35]
    assert 10 <= sum(name.startswith("film") for name in later) <= 20


@pytest.mark.parametrize(
    ("blame", "attempts"), [("application", 3), ("crash", 3), ("storage", 3), ("signer", 3), ("input", 1), ("setup", 1)]
)
def test_budgets(blame: Blame, attempts: int, tmp_path: Path) -> None:
    """Errors of the code are tried again, errors of the input are not; the ledger has every attempt."""
    engine, clock = ScriptedEngine(lambda task, n, slot: blame if task.id == "bad" else None), Clock()
    dispatcher, row = make_dispatcher(engine, tmp_path, clock), Row()
    dispatcher.add(make_task("bad"), row)
    dispatcher.add(make_task("good"), row)
    run_out(dispatcher)
    assert (row.done, row.lost) == (["good"], ["bad"])
    assert engine.count["bad"] == attempts
    assert clock.now >= (3.0 if attempts == 3 else 0.0)
    lines = (tmp_path / layout.attempts("job")).read_text().splitlines()
    events = [e["event"] for e in map(json.loads, lines) if e["task"] == "bad"]
    assert events == ["leased", "failed"] * attempts + ["quarantined"] * (blame in ("application", "crash"))


def test_a_second_attempt_may_succeed(tmp_path: Path) -> None:
    """A task that fails twice and then works is done, and told once."""
    engine = ScriptedEngine(lambda task, n, slot: "crash" if n < 3 else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("t"), row)
    run_out(dispatcher)
    assert (row.done, row.lost) == (["t"], [])


def test_equal_work_is_done_once(tmp_path: Path) -> None:
    """Two rows that need the same scan share it, also when the second asks while it runs."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    dispatcher, one, two = make_dispatcher(engine, tmp_path), Row(), Row()
    dispatcher.add(make_task("scan", "scan"), one)
    dispatcher._hand_out("gpu")
    dispatcher.add(make_task("scan", "scan", row=7), two)
    run_out(dispatcher)
    assert engine.count == {"scan": 1}
    assert (one.done, two.done) == (["scan"], ["scan"])


def test_a_failed_row_takes_its_waiting_tasks_along(tmp_path: Path) -> None:
    """Tasks that only a lost row wanted are not run; shared ones are."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, lost, other = make_dispatcher(engine, tmp_path), Row(), Row()
    for n in range(5):
        dispatcher.add(make_task(f"own{n}", chunk=n), lost)
    dispatcher.add(make_task("shared", chunk=9), lost)
    dispatcher.add(make_task("shared", chunk=9), other)
    dispatcher.step(0.1)
    dispatcher.drop(lost)
    run_out(dispatcher)
    assert engine.log == ["own0", "shared"]
    assert other.done == ["shared"]


def test_draining_hands_out_nothing(tmp_path: Path) -> None:
    """While draining, running tasks end and queued ones stay."""
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.slots = {"g0": WorkerSlot("g0", "gpu", "one")}
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("a", chunk=0), row)
    dispatcher.add(make_task("b", chunk=1), row)
    dispatcher._hand_out("gpu")
    for _ in range(3):
        dispatcher.step(0.1, lease=False)
    assert row.done == ["a"]
    assert dispatcher.left == 1


def test_a_dead_letter_tells_everything(tmp_path: Path) -> None:
    """Descriptor, every attempt with traceback and log, the nodes, and the command that reproduces it."""
    engine = ScriptedEngine(lambda task, n, slot: "crash" if task.id == "render:job/3" else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("render:job/3", chunk=3), row)
    run_out(dispatcher)
    letter = quarantine.read(LocalStore(tmp_path), "render:job/3")
    assert letter is not None
    assert letter.payload == {"chunk": 3}
    assert [(one.attempt, one.blame, one.detail, one.log) for one in letter.attempts] == [
        (n, "crash", "traceback", "log") for n in (1, 2, 3)
    ]
    assert letter.nodes == ["one", "two"]
    assert letter.reproduce == f"lipwise-ray reproduce {tmp_path} render:job/3"


def test_a_failed_task_goes_to_another_node(tmp_path: Path) -> None:
    """A retry waits for a node where the task has not failed yet, even while the old one is idle."""
    engine = ScriptedEngine(lambda task, n, slot: "application" if task.id == "bad" and slot.node == "one" else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("bad", chunk=0), row)
    run_out(dispatcher)
    assert [node for task, node in engine.where if task == "bad"] == ["one", "two"]
    assert row.done == ["bad"]


def test_a_node_where_three_tasks_failed_is_avoided(tmp_path: Path) -> None:
    """Its tasks succeed elsewhere, so the node is at fault, and gets no more while there is another."""
    engine = ScriptedEngine(lambda task, n, slot: "crash" if slot.node == "one" else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for n in range(12):
        dispatcher.add(make_task(f"t{n}", chunk=n), row)
    run_out(dispatcher)
    assert len(row.done) == 12
    assert sum(node == "one" for _, node in engine.where) == 3
    events = (tmp_path / layout.events("run")).read_text()
    assert '"node_avoided"' in events


def test_a_task_that_fails_on_two_nodes_is_guilty_itself(tmp_path: Path) -> None:
    """Three tasks that fail everywhere do not spoil the nodes' names."""
    engine = ScriptedEngine(lambda task, n, slot: "crash" if task.id.startswith("bad") else None)
    clock = Clock()
    dispatcher, row = make_dispatcher(engine, tmp_path, clock), Row()
    for n in range(4):
        dispatcher.add(make_task(f"bad{n}", chunk=n), row)
    for n in range(20):
        dispatcher.add(make_task(f"good{n}", chunk=10 + n), row)
    run_out(dispatcher)
    assert len(row.done) == 20
    assert sorted(row.lost) == [f"bad{n}" for n in range(4)]
    assert not dispatcher.slot_choice.node_health.avoided(clock())


def test_lost_nodes_are_not_charged_to_themake_task(tmp_path: Path) -> None:
    """Three lost nodes leave the application budget whole; only its own budget ends it."""
    engine = ScriptedEngine(lambda task, n, slot: "node" if n <= 3 else "application" if n <= 5 else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("t"), row)
    run_out(dispatcher)
    assert row.done == ["t"]
    assert engine.count["t"] == 6
    engine = ScriptedEngine(lambda task, n, slot: "node")
    dispatcher, row = make_dispatcher(engine, tmp_path / "b"), Row()
    dispatcher.add(make_task("t"), row)
    run_out(dispatcher)
    assert (row.lost, engine.count["t"]) == (["t"], 4)


def test_out_of_memory_halves_the_batch_and_then_gets_a_node_alone(tmp_path: Path) -> None:
    """First smaller batches, then nothing else runs on its node; a third time gives it up."""
    alone: list[bool] = []
    slots = tuple(WorkerSlot(f"g{n}", "gpu", "one") for n in range(3))

    def script(task: Task, n: int, slot: WorkerSlot) -> Blame | None:
        if task.id != "big":
            return None
        alone.append(not engine.busy)
        return "memory"

    engine = ScriptedEngine(script, slots=slots)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("big", priority=1), row)
    for n in range(12):
        dispatcher.add(make_task(f"small{n}", chunk=n), row)
    run_out(dispatcher)
    halvings = [told.batch_halvings for told, name in zip(engine.hints, engine.log, strict=True) if name == "big"]
    assert halvings == [0, 1, 2]
    assert alone == [False, False, True]
    assert row.lost == ["big"]
    assert len(row.done) == 12


def test_a_worker_without_progress_is_ended(tmp_path: Path) -> None:
    """A task that stands still is charged like an error, and its worker is killed once the deadline passes."""
    clock = Clock()
    engine = ScriptedEngine(lambda task, n, slot: None)
    engine.stuck.add("hang")
    dispatcher, row = make_dispatcher(engine, tmp_path, clock), Row()
    dispatcher.add(make_task("hang", chunk=0), row)
    dispatcher.add(make_task("good", chunk=1), row)
    for _ in range(400):
        if not dispatcher.left:
            break
        dispatcher.step(0.1)
        clock.now += 0.5
    assert (row.done, row.lost) == (["good"], ["hang"])
    assert len(engine.killed) == 3


def test_a_run_in_which_nothing_works_stops(tmp_path: Path) -> None:
    """When most of the first tasks fail, of several jobs, nothing is quarantined and nothing more is begun."""
    engine = ScriptedEngine(lambda task, n, slot: "application")
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for n in range(100):
        dispatcher.add(make_task(f"t{n}", row=n, job=f"job{n // 4}"), row)
    for _ in range(200):
        dispatcher.step(0.1)
    assert dispatcher.breaker.reason is not None
    assert len(engine.count) < 15
    assert dispatcher.left == 100
    assert not row.lost
    assert not quarantine.keys(LocalStore(tmp_path))


def test_one_bad_job_does_not_stop_arun_out(tmp_path: Path) -> None:
    """All chunks of one job may fail, however early."""
    engine = ScriptedEngine(lambda task, n, slot: "crash" if task.job_id == "bad" else None)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for n in range(20):
        dispatcher.add(make_task(f"bad{n}", chunk=n, priority=1, job="bad"), row)
        dispatcher.add(make_task(f"good{n}", row=1, chunk=n, job="good"), row)
    run_out(dispatcher)
    assert len(row.done) == len(row.lost) == 20


def test_quarantine_lasts_until_it_is_lifted(tmp_path: Path) -> None:
    """Another run does not try again; after `lift` it does."""
    bad, good = (ScriptedEngine(lambda task, n, slot, fate=fate: fate) for fate in ("crash", None))
    for engine, lost, lift in ((bad, 1, False), (good, 1, True), (good, 0, False)):
        dispatcher, row = make_dispatcher(engine, tmp_path), Row()
        dispatcher.add(make_task("render:job/0"), row)
        run_out(dispatcher)
        assert len(row.lost) == lost
        if lift:
            assert not engine.count
            assert quarantine.lift(LocalStore(tmp_path), "other") == []
            assert quarantine.lift(LocalStore(tmp_path), "job") == ["render:job/0"]


@given(
    st.lists(st.sampled_from(["render", "scan", "plan", "assemble"]), min_size=1, max_size=12),
    st.lists(
        st.sampled_from([None, None, None, "application", "storage", "crash", "input", "memory", "node"]),
        min_size=1,
        max_size=30,
    ),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
)
def test_any_sequence_comes_to_an_end(
    tmp_path_factory, kinds: list[str], fates: list[Blame | None], picks: list[int]
) -> None:
    """Whatever fails and in whatever order: every outcome is reported exactly once, no worker gets two tasks."""
    draw = count()
    engine = ScriptedEngine(
        lambda task, n, slot: fates[next(draw) % len(fates)],
        pick=lambda n: picks[next(draw) % len(picks)],
    )
    dispatcher, row = make_dispatcher(engine, tmp_path_factory.mktemp("s")), Row()
    tasks = [make_task(f"{kind}{n}", kind, row=n % 3, chunk=n) for n, kind in enumerate(kinds)]
    for task in tasks:
        dispatcher.add(task, row)
    run_out(dispatcher)
    assert sorted(row.done + row.lost) == sorted(task.id for task in tasks)
    assert max(engine.count.values()) <= 3 + 2 + 4 + 3  # and as often by a process's fault
    assert not dispatcher.running
    # Another driver on the same state tries nothing that is in quarantine.
    known = set(dispatcher.store.names(layout.QUARANTINE))
    again = Row()
    second = make_dispatcher(ScriptedEngine(lambda task, n, slot: None), Path(dispatcher.store.address))
    for task in tasks:
        second.add(task, again)
    run_out(second)
    assert {layout.dead_letter(name) for name in again.lost} == known
