"""The flow's role, as a scheduler needs it to drive a row: the tasks that come next, and its progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lipwise_ray.scheduler.task import Failure, Task, TaskResult
from lipwise_ray.state.row_outcome import RowResult, Tally


@dataclass(slots=True)
class Progress:
    """Progress of a row; ``todo`` and ``done`` count frames of the present stage."""

    stage: str = "waiting"
    todo: int = 0
    done: int = 0


class Flow(Protocol):
    """Tasks of a row, step by step."""

    @property
    def progress(self) -> Progress:
        """Progress of the row."""
        ...

    @property
    def tally(self) -> Tally:
        """Chunks, scans and frames that the row cost."""
        ...

    @property
    def tenant(self) -> str:
        """Tenant whose part of the workers it takes."""
        ...

    @property
    def job_id(self) -> str:
        """Names its records; empty before they are known."""
        ...

    @property
    def result(self) -> RowResult | None:
        """Set once the row is done."""
        ...

    @property
    def inputs(self) -> Sequence[str] | None:
        """Stamps of the row's inputs, by which a later run knows it again; None where it shall not."""
        ...

    def start(self) -> list[Task]:
        """Return the first task."""
        ...

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        ...

    def is_past(self, task: Task) -> bool:
        """Tell whether the row does not wait for a task any more."""
        ...

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        """Take a task that was given up and return the tasks with which the row goes on; None where it cannot.

        What it does not wait for any more (`is_past`) is not done for it.
        """
        ...
