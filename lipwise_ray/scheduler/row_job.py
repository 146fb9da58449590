"""Work that a run is given: a row, or a batch of rows that one task looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from lipwise_ray.scheduler.flow import Flow
from lipwise_ray.scheduler.task import Failure, Task, TaskResult
from lipwise_ray.state.done_rows import DoneRow


@dataclass(frozen=True, slots=True)
class RowJob:
    """A row that is ready to be worked on.

    Attributes:
        row: Its place in the manifest.
        id: Its name there.
        flow: What is to be done.
        extra: What its manifest says besides, for its record.
        digest: Hash of what its tasks are told, by which a later run knows it again; empty where none shall.
    """

    row: int
    id: str
    flow: Flow
    extra: dict[str, str] = field(default_factory=dict[str, str])
    digest: str = ""

    @property
    def tenant(self) -> str:
        """Tenant whose part of the workers it takes."""
        return self.flow.tenant


class RowBatch(Protocol):
    """Rows that were done before, which one task looks at together."""

    @property
    def task(self) -> Task:
        """The task."""
        ...

    def unchanged(self, result: TaskResult | None, unwanted: Callable[[str], bool]) -> Sequence[DoneRow]:
        """Return the rows that are done; the source of the run's rows gives the others once more, each as a `RowJob`.

        Args:
            result: The task's; None where it was given up.
            unwanted: Tells of a row's name whether somebody cancelled it.
        """
        ...


Job: TypeAlias = RowJob | RowBatch | None
"""Next work of a run; None where there is none before a batch has ended, or somebody adds some."""


@dataclass(slots=True, eq=False)
class WaitingBatch:
    """Hands the end of a batch's task on.

    Attributes:
        batch: The batch.
        end: Takes the batch, and its task's result; None where it was given up.
    """

    batch: RowBatch
    end: Callable[[RowBatch, TaskResult | None], None]

    def finished(self, task: Task, result: TaskResult) -> None:
        """Take the result."""
        self.end(self.batch, result if isinstance(result, task.kind.result) else None)

    def failed(self, task: Task, failure: Failure) -> None:
        """Take the failure: the rows are begun one by one, and each fails for itself."""
        del task, failure
        self.end(self.batch, None)
