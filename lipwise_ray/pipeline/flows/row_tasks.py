"""State of a row that all flows keep: the tasks that it waits for, its progress, how often things were made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, RowPart
from lipwise_ray.pipeline.flows.task_kinds import RenderPayload, ScorePayload
from lipwise_ray.scheduler.flow import Progress
from lipwise_ray.scheduler.task import Failure, Hints, P, Task, TaskKind, TaskResult, rank
from lipwise_ray.settings.model import GateSettings
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import Tally

MOST_REPAIRS = 3
RowStage = Literal["probing", "scanning", "comparing", "planning", "rendering", "scoring", "assembling", "done"]
"""Stage that a row is at, as people are shown it."""

Result = TypeVar("Result")


@dataclass(slots=True)
class RowTasks(Generic[Result]):
    """The base of flows.

    Attributes:
        row: The row's line in the manifest.
        priority: Higher goes first.
        admission_round: Rows that are begun together have the same; lower goes first.
        tenant: Tenant whose part of the workers the row takes.
        base: Part of the payload that every task gets.
        gate: Requirements that the video must meet to pass.
    """

    row: int
    priority: int
    admission_round: int
    tenant: str
    base: RowPart
    gate: GateSettings = field(default_factory=GateSettings)
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    job_id: str = ""
    result: Result | RowFailure | None = None
    """Set once the row is done."""
    inputs: Sequence[str] | None = None
    """Stamps of its inputs, by which a later run knows it again; None where it shall not."""
    _open: set[str] = field(default_factory=set[str])
    _missing: str = ""
    """Record that was found missing in the state though it had been made, for messages; empty for none."""
    _repairs: int = 0
    _frames: int | None = None

    def is_past(self, task: Task) -> bool:
        """Tell whether the row does not wait for a task any more."""
        return task.id not in self._open

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        """Return None: without one of its tasks a row cannot go on."""
        del task, failure
        return None

    def _take(self, task: Task, result: TaskResult | None = None) -> None:
        """Note that a task has ended, with a result or without.

        Raises:
            TypeError: The result is none of its kind.
        """
        if result is not None and not isinstance(result, task.kind.result):
            raise TypeError(f"{task.id}: gave {type(result).__name__} instead of {task.kind.result.__name__}")
        self._open.discard(task.id)
        self.progress.done += task.frames

    def _task(
        self,
        kind: TaskKind[P, Any],
        name: str,
        payload: P,
        *,
        frames: int = 0,
        chunk: int = 0,
        needs: frozenset[str] = frozenset(),
        is_missing: bool = False,
    ) -> Task:
        task = Task(
            id=f"{kind.name}:{name}",
            kind=kind,
            payload=payload,
            frames=frames,
            rank=rank(kind, self.priority, self.admission_round, self.row, chunk, frames=self._frames),
            job_id=self.job_id,
            tenant=self.tenant,
            needs=needs,
            row_id=self.base.job.row_id,
            hints=Hints(is_missing=is_missing),
        )
        self._open.add(task.id)
        return task

    def _tasks_of(
        self,
        kind: TaskKind[P, Any],
        record: str,
        pieces: Sequence[NumberedSpan],
        payload: Callable[[NumberedSpan], P],
    ) -> list[Task]:
        """Return a task for each chunk whose record is missing."""
        self._expect(sum(piece.frames for piece in pieces))
        return [
            self._task(
                kind,
                f"{record}/{piece.chunk}",
                payload(piece),
                frames=piece.frames,
                chunk=piece.chunk,
                is_missing=True,
            )
            for piece in pieces
        ]

    def _enter(self, stage: RowStage) -> None:
        self.progress.stage = stage

    def _is_at(self, stage: RowStage) -> bool:
        return self.progress.stage == stage

    def _expect(self, frames: int, done: int = 0) -> None:
        """Begin to count the frames of a stage."""
        self.progress.todo, self.progress.done = frames, done

    def _may_repair(self, code: str, message: str) -> bool:
        """Count that something has to be made again; after too many times the row fails."""
        self._missing = ""
        self._repairs += 1
        if self._repairs > MOST_REPAIRS:
            self._end(RowFailure(code=code, message=message))
        return self.result is None

    def _end(self, result: Result | RowFailure) -> None:
        self._enter("done")
        self.progress.done = self.progress.todo
        self.result = result


def chunk_of(task: Task) -> int:
    """Return the chunk that a task renders or scores."""
    assert isinstance(task.payload, RenderPayload | ScorePayload)  # others are not counted by chunks
    return task.payload.chunk
