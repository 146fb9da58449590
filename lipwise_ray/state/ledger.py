"""What happened: each job's attempts, and the events of a run, as JSON lines."""

from __future__ import annotations

import json
import time
from typing import Any

from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.storage.redact import scrub
from lipwise_ray.values import Json


class Ledger:
    """Written by the driver alone.

    Args:
        store: The state.
        run_id: The run whose events these are.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id

    def note(self, task_id: str, job_id: str, event: str, **facts: Any) -> None:  # noqa: ANN401  # JSON values
        """Write what happened to a task: to its job's ledger, and without the traceback to the run's events.

        In the run's events it lasts once `flush` was called, and so does a traceback in its job's ledger, as no event
        holds it; the rest of that lasts later, at the latest with `close`.

        Raises:
            StorageError: The state cannot be written.
        """
        line: Json = {"time": round(time.time(), 3), "run": self._run_id, "event": event, "task": task_id, **facts}
        if job_id:
            self._store.append(layout.attempts(job_id), _line(line), may_wait=not facts.get("detail"))
        self._store.append(layout.events(self._run_id), _line({k: v for k, v in line.items() if k != "detail"}))

    def event(self, event: str, **facts: Any) -> None:  # noqa: ANN401  # JSON values
        """Write what happened to the run."""
        line: Json = {"time": round(time.time(), 3), "run": self._run_id, "event": event, **facts}
        self._store.append(layout.events(self._run_id), _line(line))

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
