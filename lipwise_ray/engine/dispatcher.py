"""Hands tasks to workers: order, budgets, retries. Knows nothing of videos."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lipwise_ray.dubbing.tasks import LANES, Lane, Task
from lipwise_ray.engine.contract import Engine, Failure, Outcome
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.values import Json

_LANES: tuple[Lane, ...] = tuple(dict.fromkeys(LANES.values()))


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a task may fail, and how long to wait in between.

    ``attempts`` counts the first one too; waits double from ``backoff_s``.
    """

    attempts: int = 3
    backoff_s: float = 1.0


class Subscriber(Protocol):
    """Who wants to know how a task ended."""

    def finished(self, task: Task, result: Json) -> None:
        """Called once with the task's result."""
        ...

    def failed(self, task: Task, failure: Failure) -> None:
        """Called once when the task is given up."""
        ...


@dataclass(slots=True)
class _Entry:
    task: Task
    subscribers: list[tuple[Task, Subscriber]]
    attempts: int = 0
    running: bool = False


@dataclass(slots=True)
class Dispatcher:
    """Runs tasks until none is left.

    Equal tasks of several rows run once: a task's id names the work, and everyone who added it is
    told. An attempt is written to the job's ledger before it is handed out, and again when it ends.

    Attributes:
        engine: Where tasks run.
        store: Where the ledgers are.
        budget: Attempts a task gets.
        clock: Monotonic seconds.
        sleep: Waits while every task is in backoff.
    """

    engine: Engine
    store: Store
    budget: Budget
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _entries: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    _ready: dict[Lane, list[tuple[tuple[int, ...], str]]] = field(
        default_factory=lambda: defaultdict(list[tuple[tuple[int, ...], str]])
    )
    _waiting: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    running: dict[str, Task] = field(default_factory=dict[str, Task])
    """Tasks in flight by worker."""
    attempts: int = 0
    """Attempts handed out so far."""

    def add(self, task: Task, subscriber: Subscriber) -> None:
        """Queue a task, or join one of the same id that is queued or running."""
        known = self._entries.get(task.id)
        if known is not None:
            known.subscribers.append((task, subscriber))
            return
        self._entries[task.id] = _Entry(task, [(task, subscriber)])
        heapq.heappush(self._ready[task.lane], (task.rank, task.id))

    @property
    def left(self) -> int:
        """Tasks that are not finished."""
        return len(self._entries)

    def step(self, timeout_s: float, *, lease: bool = True) -> None:
        """Hand out what can be handed out and take in what has ended.

        Args:
            timeout_s: Longest wait for an attempt to end.
            lease: False lets running tasks end and hands out nothing more.
        """
        now = self.clock()
        while self._waiting and self._waiting[0][0] <= now:
            _, task_id = heapq.heappop(self._waiting)
            task = self._entries[task_id].task
            heapq.heappush(self._ready[task.lane], (task.rank, task_id))
        if lease:
            self._hand_out()
        if self.running:
            for outcome in self.engine.poll(timeout_s):
                self._take_in(outcome)
        elif self._waiting and lease:
            self.sleep(max(0.0, min(timeout_s, self._waiting[0][0] - now)))

    def _hand_out(self) -> None:
        for lane in _LANES:
            while self._ready[lane]:
                workers = self.engine.idle(lane)
                if not workers:
                    break
                _, task_id = heapq.heappop(self._ready[lane])
                entry = self._entries[task_id]
                entry.attempts += 1
                entry.running = True
                self.attempts += 1
                self._log(entry.task, {"event": "leased", "attempt": entry.attempts, "worker": workers[0]})
                self.running[workers[0]] = entry.task
                self.engine.submit(workers[0], entry.task)

    def _take_in(self, outcome: Outcome) -> None:
        self.running.pop(outcome.worker, None)
        entry = self._entries[outcome.task.id]
        entry.running = False
        number = {"attempt": entry.attempts, "worker": outcome.worker}
        if outcome.result is not None:
            self._log(entry.task, {"event": "done", **number})
            del self._entries[entry.task.id]
            for task, subscriber in entry.subscribers:
                subscriber.finished(task, outcome.result)
            return
        failure = outcome.failure or Failure("application", "no_result", f"task {entry.task.id}: gave no result")
        self._log(
            entry.task,
            {"event": "failed", **number, "code": failure.code, "message": failure.message, "detail": failure.detail},
        )
        may_retry = failure.blame in ("application", "crash") and entry.subscribers
        if may_retry and entry.attempts < self.budget.attempts:
            wait_s = self.budget.backoff_s * 2 ** (entry.attempts - 1)
            heapq.heappush(self._waiting, (self.clock() + wait_s, entry.task.id))
            return
        del self._entries[entry.task.id]
        for task, subscriber in entry.subscribers:
            subscriber.failed(task, failure)

    def drop(self, subscriber: Subscriber) -> None:
        """Take a subscriber off every task; tasks that nobody wants and that do not run yet go too."""
        for task_id, entry in list(self._entries.items()):
            entry.subscribers = [(task, other) for task, other in entry.subscribers if other is not subscriber]
            if not entry.subscribers and not entry.running:
                lane = self._ready[entry.task.lane]
                if (entry.task.rank, task_id) in lane:
                    lane.remove((entry.task.rank, task_id))
                    heapq.heapify(lane)
                self._waiting = [item for item in self._waiting if item[1] != task_id]
                heapq.heapify(self._waiting)
                del self._entries[task_id]

    def _log(self, task: Task, event: Json) -> None:
        if task.job_id:
            line = {"time": round(time.time(), 3), "task": task.id, **event}
            self.store.append(layout.attempts(task.job_id), json.dumps(line, sort_keys=True).encode())
