"""Work goes to workers that can do it, on an engine that does what the test says."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.state import quarantine
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import Row, ScriptedEngine, make_dispatcher, make_task, run_out

NVENC = frozenset({"h264_nvenc"})


MIXED = (WorkerSlot("g0", "gpu", "one", frozenset({"libx264"})), WorkerSlot("g1", "gpu", "two", NVENC | {"libx264"}))


def test_work_goes_to_workers_that_can(tmp_path: Path) -> None:
    """An encoder that only one of two machines has: its tasks wait for that one, others do not."""
    engine = ScriptedEngine(lambda task, n, slot: None, slots=MIXED)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    for n in range(6):
        dispatcher.add(make_task(f"nvenc{n}", needs=NVENC, chunk=n), row)
        dispatcher.add(make_task(f"x264{n}", needs=frozenset({"libx264"}), chunk=n), row)
    run_out(dispatcher)
    assert {node for name, node in engine.where if name.startswith("nvenc")} == {"two"}
    assert "one" in {node for name, node in engine.where if name.startswith("x264")}
    assert len(row.done) == 12


def test_work_that_no_worker_can_do_is_refused(tmp_path: Path) -> None:
    """Once all workers are there, and by no fault of theirs; the others go on."""
    engine = ScriptedEngine(lambda task, n, slot: None, slots=MIXED)
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("av1", needs=frozenset({"av1_nvenc"})), row)
    dispatcher.add(make_task("good", chunk=1), row)
    engine.loading = 1
    for _ in range(5):
        dispatcher.step(0.1)
    assert (row.done, row.lost) == (["good"], [])
    assert engine.backlogs[-1]["gpu"] > 2  # more than are there: they might be able
    engine.loading = 0
    run_out(dispatcher)
    assert row.lost == ["av1"]
    assert not engine.count.get("av1")
    assert not quarantine.keys(LocalStore(tmp_path))


def test_work_waits_for_workers_that_are_not_there_yet(tmp_path: Path) -> None:
    """A worker that was handed a task in the same step counts once: a further one may come that can do what waits."""
    slots = tuple(WorkerSlot(f"g{n}", "gpu", "one", frozenset({"libx264"})) for n in range(3))
    engine = ScriptedEngine(lambda task, n, slot: None, slots=slots)
    engine.render_slots = 4
    dispatcher, row = make_dispatcher(engine, tmp_path), Row()
    dispatcher.add(make_task("good"), row)
    dispatcher.add(make_task("nvenc", needs=NVENC, chunk=1), row)
    dispatcher.step(0.1)
    assert (row.done, row.lost) == (["good"], [])
    engine.slots["g3"] = WorkerSlot("g3", "gpu", "two", NVENC)
    run_out(dispatcher)
    assert row.done == ["good", "nvenc"]
