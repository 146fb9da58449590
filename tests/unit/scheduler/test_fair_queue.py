"""Who is next of the tasks that wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.scheduler.fair_queue import FairQueue
from lipwise_ray.scheduler.task import Task
from tests.support.scripted import make_task


def _drained(queue: FairQueue, tasks: dict[str, Task]) -> list[str]:
    order: list[str] = []
    while len(queue):
        name = queue.pop()
        queue.serve(tasks[name])
        order.append(name)
    return order


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(1, 500)), min_size=1, max_size=40))
def test_every_task_comes_out_once_and_higher_priority_first(told: list[tuple[int, str, int]]) -> None:
    """Whatever is pushed: nothing is lost, nothing comes twice, and no task overtakes one of higher priority."""
    tasks = {
        str(n): make_task(str(n), priority=priority, tenant=tenant, frames=frames, row=n)
        for n, (priority, tenant, frames) in enumerate(told)
    }
    queue = FairQueue()
    for task in tasks.values():
        queue.push(task)
    order = _drained(queue, tasks)
    assert sorted(order) == sorted(tasks)
    priorities = [told[int(name)][0] for name in order]
    assert priorities == sorted(priorities, reverse=True)
    with pytest.raises(IndexError):
        queue.pop()


def test_nothing_is_saved_up_while_away() -> None:
    """Who comes after another was served for hours does not get all workers until both have had as much."""
    queue = FairQueue()
    old = {f"old{n}": make_task(f"old{n}", tenant="old", frames=100, chunk=n) for n in range(6)}
    new = {f"new{n}": make_task(f"new{n}", tenant="new", frames=100, chunk=n) for n in range(3)}
    for task in old.values():
        queue.push(task)
    for _ in range(3):
        queue.serve(old[queue.pop()])
    for task in new.values():
        queue.push(task)
    order = _drained(queue, old | new)
    assert [name[:3] for name in order[:4]].count("new") == 2


def test_a_task_that_is_taken_out_is_not_handed_out() -> None:
    """The others of its tenant keep their order; the last one taken out leaves an empty queue."""
    queue = FairQueue()
    tasks = {f"t{n}": make_task(f"t{n}", tenant="s", chunk=n) for n in range(3)}
    for task in tasks.values():
        queue.push(task)
    queue.remove(tasks["t1"])
    assert len(queue) == 2
    assert [queue.pop(), queue.pop()] == ["t0", "t2"]
    queue.push(tasks["t1"])
    queue.remove(tasks["t1"])
    assert len(queue) == 0
