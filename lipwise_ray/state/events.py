"""Events of a run: the lines of its `events.jsonl`, and of the ledger of each job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, FailedTry, Maybe, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """Something that happened; the ledger says when, and in which run."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    time: NonNegative = 0.0
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent(LedgerEvent):
    """Something that happened to a task; the ledger says which."""

    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLeased(TaskEvent):
    """It was handed out."""

    event: Literal["leased"] = "leased"
    attempt: Count
    worker: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone(TaskEvent):
    """An attempt gave a result."""

    event: Literal["done"] = "done"
    attempt: Count
    worker: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(TaskEvent):
    """An attempt failed; its traceback (``detail``) stands in its job's ledger alone."""

    event: Literal["failed"] = "failed"
    attempt: Count
    worker: str
    node: str
    blame: str
    code: str
    message: str
    detail: Maybe[str] = None

    @staticmethod
    def of(one: FailedTry) -> TaskFailed:
        """Return the event of a failed attempt: what a dead letter holds, without the end of the worker's log."""
        return TaskFailed(
            attempt=one.attempt,
            worker=one.worker,
            node=one.node,
            blame=one.blame,
            code=one.code,
            message=one.message,
            detail=one.detail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStalled(TaskEvent):
    """Its worker showed no progress for so long, and was ended."""

    event: Literal["stalled"] = "stalled"
    worker: str
    node: str
    after_s: NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRefused(TaskEvent):
    """No worker can do it."""

    event: Literal["refused"] = "refused"
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnded(TaskEvent):
    """The process that it failed in is renewed."""

    event: Literal["process_ended"] = "process_ended"
    worker: str
    node: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuarantined(TaskEvent):
    """It was given up; its dead letter has this key."""

    event: Literal["quarantined"] = "quarantined"
    letter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled(TaskEvent):
    """Nobody wants it any more."""

    event: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAvoided(LedgerEvent):
    """Tasks that fail on a node and not elsewhere are kept away from it."""

    event: Literal["node_avoided"] = "node_avoided"
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBroke(LedgerEvent):
    """A row's flow broke; ``stage`` is empty before its first task ended."""

    event: Literal["row_broke"] = "row_broke"
    row: int
    stage: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksAbandoned(LedgerEvent):
    """Tasks that were not waited for any longer when the run was to stop."""

    event: Literal["abandoned"] = "abandoned"
    tasks: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped(LedgerEvent):
    """The run stopped before its end."""

    event: Literal["stopped"] = "stopped"
    code: str
    message: str


EventLine: TypeAlias = (
    TaskLeased
    | TaskDone
    | TaskFailed
    | TaskStalled
    | TaskRefused
    | ProcessEnded
    | TaskQuarantined
    | TaskCancelled
    | NodeAvoided
    | RowBroke
    | TasksAbandoned
    | RunStopped
)
