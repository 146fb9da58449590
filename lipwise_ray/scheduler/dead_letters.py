"""What is written of a task that is given up, and what a later run reads of it."""

from __future__ import annotations

import shlex
import time

from lipwise_ray.scheduler.task import Failure, Task
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.shapes import FailedTry, record_of
from lipwise_ray.state.store import Store
from lipwise_ray.values import Json


def dead_letter(task: Task, attempts: list[FailedTry], state: str) -> Json:
    """Return a task's dead letter: descriptor, attempts, nodes, and how to do it alone.

    Args:
        task: The task.
        attempts: What became of each.
        state: The state's address.
    """
    payload = task.kind.record_of(task.payload) | ({"is_missing": True} if task.hints.is_missing else {})
    return {
        "kind": task.kind.name,
        "job_id": task.job_id,
        "frames": task.frames,
        "payload": payload,
        "attempts": [record_of(attempt) for attempt in attempts],
        "nodes": sorted({attempt.node for attempt in attempts}),
        "time": round(time.time(), 3),
        "reproduce": f"lipwise-ray reproduce {shlex.quote(state)} {shlex.quote(task.id)}",
    }


def in_quarantine(store: Store, task_id: str) -> Failure:
    """Return why a task is not tried: the last message of its dead letter."""
    letter = quarantine.read(store, task_id) or {}
    history: list[Json] = letter.get("attempts", [])
    why = history[-1]["message"] if history else "its dead letter cannot be read"
    return Failure(
        "application",
        "quarantined",
        f"task {task_id}: is in quarantine: {why} Lift it with `lipwise-ray retry`, see {layout.dead_letter(task_id)}.",
    )
