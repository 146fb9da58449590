"""Which idle worker gets a task."""

from __future__ import annotations

from typing import Any

from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.scheduler.retry_policy import TaskHistory
from lipwise_ray.scheduler.slot_choice import SlotChoice, no_worker_can
from tests.support.scripted import make_task

ONE, TWO = WorkerSlot("w1", "gpu", "one"), WorkerSlot("w2", "gpu", "two")


def _chosen(choice: SlotChoice, task_id: str, free: list[WorkerSlot], **more: Any) -> WorkerSlot | None:
    told = {"busy": (), "nodes": {"one", "two"}, "alone": False, "fresh": False, "now_s": 0.0, **more}
    return choice.choose(task_id, told.pop("record", TaskHistory()), free, **told)


def test_a_bad_node_gets_no_task_while_there_are_others() -> None:
    """After three tasks failed there its idle worker waits for nothing; where it is the only node it is used."""
    choice = SlotChoice()
    for name in "abc":
        choice.node_health.failed(name, "one", 0.0)
    assert _chosen(choice, "t", [ONE, TWO]) == TWO
    assert _chosen(choice, "t", [ONE]) is None
    assert _chosen(choice, "t", [ONE], nodes={"one"}) == ONE


def test_a_fresh_process_is_taken_where_that_is_asked_for() -> None:
    """Of two idle workers the one that has had no task."""
    choice = SlotChoice()
    choice.processes.succeeded(ONE.worker)
    assert _chosen(choice, "t", [ONE, TWO], fresh=True) == TWO
    assert _chosen(choice, "t", [ONE, TWO]) == ONE


def test_a_task_that_needs_a_node_for_itself_waits_for_it() -> None:
    """The node is kept free of others until what runs there has ended, and given back afterwards."""
    choice = SlotChoice()
    neighbour = WorkerSlot("w3", "gpu", "one")
    assert _chosen(choice, "large", [ONE], busy=[neighbour], nodes={"one"}, alone=True) is None
    assert _chosen(choice, "small", [ONE], busy=[neighbour], nodes={"one"}) is None
    assert _chosen(choice, "large", [ONE, neighbour], nodes={"one"}, alone=True) == ONE
    choice.release("large")
    assert _chosen(choice, "small", [neighbour], busy=[ONE], nodes={"one"}) == neighbour


def test_a_need_that_no_worker_meets_is_named() -> None:
    """The failure says what was needed and what there is; nobody is blamed before there are workers."""
    task = make_task("render:j/0", needs=frozenset({"h264_nvenc"}))
    able = [WorkerSlot("w", "gpu", "one", frozenset({"libx264"}))]
    failure = no_worker_can(task, able)
    assert failure is not None
    assert (failure.blame, failure.code) == ("setup", "no_worker_can")
    assert "h264_nvenc" in failure.message
    assert "libx264" in failure.message
    assert no_worker_can(task, []) is None
    assert no_worker_can(task, [*able, WorkerSlot("v", "gpu", "two", frozenset({"h264_nvenc"}))]) is None
    assert no_worker_can(make_task("t"), able) is None
