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


class KnownLetters:
    """Dead letters of a state, by which tasks are refused; they are listed once.

    Args:
        store: The state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: set[str] | None = None

    def add(self, key: str) -> None:
        """Take note of one that was written."""
        if self._keys is not None:
            self._keys.add(key)

    def refusal(self, task_id: str) -> Failure | None:
        """Return the failure of a task that is in quarantine; None where it is not, or was taken out since."""
        if self._keys is None:
            self._keys = quarantine.keys(self._store)
        key = layout.dead_letter(task_id)
        if key not in self._keys:
            return None
        self._store.forget(key)
        if self._store.size(key) is None:
            self._keys.remove(key)
            return None
        return in_quarantine(self._store, task_id)
