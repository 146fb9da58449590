"""A task that the dispatcher holds, and its hold on a worker."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, Protocol

from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.scheduler.retry_policy import Retry, TaskHistory
from lipwise_ray.scheduler.task import Failure, Task, TaskResult
from lipwise_ray.state.shapes import FailedTry

State = Literal["PENDING", "LEASED", "RETRY_WAIT", "DOOMED"]
"""Of a task that the dispatcher holds; DOOMED: out of budget, but the run may be sick and not the task. The others of
the contract, DONE, QUARANTINED and CANCELLED, are in the state."""


_MOST_REMEMBERED = 65_536


class Subscriber(Protocol):
    """A party that is told how a task ended."""

    def finished(self, task: Task, result: TaskResult) -> None:
        """Called once with the task's result.

        Args:
            task: The task as this subscriber added it.
            result: Of the kind's type (`TaskKind.result`).
        """
        ...

    def failed(self, task: Task, failure: Failure) -> None:
        """Called once when the task is given up.

        Args:
            task: The task as this subscriber added it.
            failure: Failure of its latest attempt; or the reason why it is not tried.
        """
        ...


@dataclass(slots=True)
class Entry:
    """A task, who wants it, and what it went through.

    Attributes:
        task: The work.
        subscribers: Each with the task as it asked for it.
        state: Where it is.
        record: What it was charged with.
        attempts: How often it was handed out.
        history: What became of the attempts that failed.
        last: The latest failure.
        batch_halvings: How often its batches are halved.
        alone: It gets a node of its own.
        fresh: It is to be a process's first task.
        may_be_done: Equal work has ended already, perhaps after it was found missing for this task.
    """

    task: Task
    subscribers: list[tuple[Task, Subscriber]]
    state: State = "PENDING"
    record: TaskHistory = field(default_factory=TaskHistory)
    attempts: int = 0
    history: list[FailedTry] = field(default_factory=list[FailedTry])
    last: Failure | None = None
    batch_halvings: int = 0
    alone: bool = False
    fresh: bool = False
    may_be_done: bool = False

    def wait(self, retry: Retry) -> None:
        """Take note of how it is tried again."""
        self.state, self.batch_halvings = "RETRY_WAIT", retry.batch_halvings
        self.alone, self.fresh = retry.alone, retry.fresh

    def failed(self, failure: Failure, slot: WorkerSlot) -> FailedTry:
        """Return the record of the latest attempt, which failed."""
        return FailedTry(
            time=round(time.time(), 3),
            attempt=self.attempts,
            worker=slot.worker,
            node=slot.node,
            **asdict(failure),
        )

    def handed_out(self) -> Task:
        """Return the task as its worker gets it: with smaller batches, and told where it ``may_be_done`` by now.

        An attempt whose worker was lost may have come to its end all the same.
        """
        may_be_done = self.may_be_done or self.attempts > 1
        if not (may_be_done or self.batch_halvings):
            return self.task
        hints = replace(self.task.hints, may_be_done=may_be_done, batch_halvings=self.batch_halvings)
        return replace(self.task, hints=hints)


class Done:
    """The tasks that ended last."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, task_id: str) -> None:
        """Remember one."""
        self._ids[task_id] = None
        if len(self._ids) > _MOST_REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._ids


@dataclass(slots=True)
class Lease:
    """A task's hold on a worker. Times are seconds of the dispatcher's clock.

    Attributes:
        entry: The task.
        slot: The worker.
        frames: Frames that the worker had finished when it was last asked.
        moved_s: Time at which that number last changed.
        begun_s: Time at which the task was handed out.
        killed: The worker was ended, as it made no progress.
    """

    entry: Entry
    slot: WorkerSlot
    frames: int
    moved_s: float
    begun_s: float
    killed: bool = False

    def stands_still(self, frames: int, now_s: float) -> float:
        """Take note of the frames that its worker has finished; return for how many seconds no more came.

        Args:
            frames: Frames that the worker has finished in this task.
            now_s: Seconds of the dispatcher's clock.
        """
        if frames != self.frames:
            self.frames, self.moved_s = frames, now_s
        return now_s - self.moved_s
