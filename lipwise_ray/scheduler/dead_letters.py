"""Dead letters of tasks that are given up, as they are written and as a later run reads them."""

from __future__ import annotations

import shlex
import time

from lipwise_ray.scheduler.task import Failure, Task
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.shapes import FailedTry, Letter
from lipwise_ray.state.store import Store


def dead_letter(task: Task, attempts: list[FailedTry], state: str) -> Letter:
    """Return a task's dead letter.

    Args:
        task: The task.
        attempts: What became of each.
        state: The state's address.
    """
    payload = task.kind.record_of(task.payload) | ({"is_missing": True} if task.hints.is_missing else {})
    return Letter(
        task=task.id,
        kind=task.kind.name,
        job_id=task.job_id,
        payload=payload,
        attempts=attempts,
        frames=task.frames,
        nodes=sorted({attempt.node for attempt in attempts}),
        time=round(time.time(), 3),
        reproduce=f"lipwise-ray reproduce {shlex.quote(state)} {shlex.quote(task.id)}",
    )


def in_quarantine(store: Store, task_id: str) -> Failure:
    """Return the failure of a task that is not tried; its message quotes the last one of its dead letter."""
    letter = quarantine.read(store, task_id)
    why = letter.attempts[-1].message if letter else "its dead letter cannot be read"
    return Failure(
        "application",
        "quarantined",
        f"task {task_id}: is in quarantine: {why} Lift it with `lipwise-ray retry`, see {layout.dead_letter(task_id)}.",
    )
