"""Ledger of each job's attempts, and of a run's events, as JSON lines."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace

from lipwise_ray.state import layout
from lipwise_ray.state.events import LedgerEvent, TaskDone, TaskEvent, TaskLeased
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.store import Store
from lipwise_ray.storage.redact import redact, scrub
from lipwise_ray.values import Json

_LOG = logging.getLogger("lipwise_ray")


class Ledger:
    """Written by the driver alone; the log `lipwise_ray` gets a line of what happened to a task too.

    Args:
        store: The state.
        run_id: The run whose events these are.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id

    def note(self, task_id: str, job_id: str, event: TaskEvent) -> None:
        """Write an event of a task: to its job's ledger, and without the traceback to the run's events.

        In the run's events it lasts once `flush` was called, and so does a traceback in its job's ledger, as no event
        holds it; the rest of that lasts later, at the latest with `close`.

        Args:
            task_id: Id of the task.
            job_id: Id of its job; empty before it is known: then only the run's events get it.
            event: The event; its time, run and task are filled in here.

        Raises:
            StorageError: The state cannot be written.
        """
        event = replace(event, time=round(time.time(), 3), run=self._run_id, task=task_id)
        record = record_of(event)
        if job_id:
            self._store.append(layout.attempts(job_id), _line(record), may_wait=not record.get("detail"))
        record.pop("detail", None)
        self._store.append(layout.events(self._run_id), _line(record))
        level = logging.DEBUG if isinstance(event, TaskLeased | TaskDone) else logging.INFO
        if _LOG.isEnabledFor(level):
            _LOG.log(level, "task %s: %s %s", task_id, record["event"], redact(str(record.get("message") or "")))

    def event(self, event: LedgerEvent) -> None:
        """Write an event of the run."""
        event = replace(event, time=round(time.time(), 3), run=self._run_id)
        self._store.append(layout.events(self._run_id), _line(record_of(event)))

    def flush(self) -> None:
        """Make everything last that was noted.

        Raises:
            StorageError: The state cannot be written.
        """
        self._store.flush()

    def close(self) -> None:
        """Make it last everywhere.

        Raises:
            StorageError: The state cannot be written.
        """
        self._store.flush(everything=True)


def _line(record: Json) -> bytes:
    return json.dumps(scrub(record), sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
