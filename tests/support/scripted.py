"""An engine that does what the test says, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities
from lipwise_ray.pipeline.flows.task_kinds import KINDS
from lipwise_ray.scheduler.deadlines import Deadlines
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.engine import DEVICE_ERROR, INTERNAL, Outcome, WorkerSlot
from lipwise_ray.scheduler.retry_policy import Budgets
from lipwise_ray.scheduler.task import Failure, Hints, Lane, Task, TaskResult, rank
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.shapes import WorkerMemory
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class Chunk:
    """All that a task is told."""

    chunk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(TaskResult):
    """Id of a task that was done."""

    id: str


_KINDS = {name: replace(kind, payload=Chunk, result=Answer) for name, kind in KINDS.items()}


class ScriptedEngine:
    """Workers on nodes; a script decides how each attempt ends (a blame, or the code of a failure that spoils its
    process), and in which order.
    """

    device = "cpu"
    description = "scripted"
    render_slots = 2

    def __init__(
        self,
        script: Callable[[Task, int, WorkerSlot], Any],
        pick: Callable[[int], int] = lambda n: 0,
        slots: tuple[WorkerSlot, ...] = (
            WorkerSlot("g0", "gpu", "one"),
            WorkerSlot("g1", "gpu", "two"),
            WorkerSlot("c0", "cpu", "one"),
        ),
    ) -> None:
        self._script = script
        self._pick = pick
        self.slots = {slot.worker: slot for slot in slots}
        self.busy: dict[str, Task] = {}
        self.log: list[str] = []
        self.where: list[tuple[str, str]] = []
        self.count: dict[str, int] = {}
        self.hints: list[Hints] = []
        self.backlogs: list[dict[Lane, int]] = []
        self.stuck: set[str] = set()
        self.killed: list[str] = []
        self.renewed: list[str] = []
        self.has_processes = True
        self.ended: list[str] = []
        self.loading = self.unreported = 0
        self.gpu_bytes = 0
        self.memory: list[WorkerMemory] = []
        self.capabilities: list[RenderCapabilities] = []
        self.fallbacks: list[str] = []
        self.at_once = False
        """A poll tells of everything that ended, as Ray's does."""
        self.answer: Callable[[Task], TaskResult] = lambda task: Answer(id=task.id)

    def start(self, prepare: list[Json]) -> None:
        pass

    def want(self, backlog: Mapping[Lane, int]) -> None:
        self.backlogs.append(dict(backlog))

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        return [slot for slot in self.slots.values() if slot.lane == lane and slot.worker not in self.busy]

    def submit(self, worker: str, task: Task) -> None:
        assert worker not in self.busy
        assert self.slots[worker].lane == task.lane
        self.busy[worker] = task
        self.log.append(task.id)
        self.where.append((task.id, self.slots[worker].node))
        self.hints.append(task.hints)
        self.count[task.id] = self.count.get(task.id, 0) + 1

    def poll(self, timeout_s: float) -> list[Outcome]:
        found = self._poll_one()
        while self.at_once and (more := self._poll_one()):
            found += more
        return found

    def _poll_one(self) -> list[Outcome]:
        names = sorted(worker for worker, task in self.busy.items() if task.id not in self.stuck)
        names += [worker for worker in self.ended if worker in self.busy]
        if not names:
            return []
        worker = names[self._pick(len(names)) % len(names)]
        task, slot = self.busy.pop(worker), self.slots[worker]
        if task.id in self.stuck:
            self.ended.remove(worker)
            return [Outcome(slot, task, None, Failure("stalled", "stalled", f"{task.id} stood still"))]
        blame = self._script(task, self.count[task.id], slot)
        if blame is None:
            return [Outcome(slot, task, self.answer(task), None)]
        blame, code = ("application", blame) if blame in (INTERNAL, DEVICE_ERROR) else (blame, "code")
        return [Outcome(slot, task, None, Failure(blame, code, f"{task.id} failed", "traceback", "log"))]

    def frames_done(self) -> dict[str, int]:
        return {}

    def kill(self, worker: str) -> None:
        self.killed.append(worker)
        self.ended.append(worker)

    def renew(self, worker: str) -> bool:
        """The slot goes on under another name: it has a fresh process."""
        assert worker not in self.busy
        self.renewed.append(worker)
        stem, _, number = worker.partition("+")
        fresh = f"{stem}+{int(number or 0) + 1}"
        self.slots = {
            fresh if name == worker else name: replace(slot, worker=fresh) if name == worker else slot
            for name, slot in self.slots.items()
        }
        return self.has_processes

    def close(self) -> None:
        pass


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


class Row:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.lost: list[str] = []

    def finished(self, task: Task, result: TaskResult) -> None:
        assert result == Answer(id=task.id)
        self.done.append(task.id)

    def failed(self, task: Task, failure: Failure) -> None:
        self.lost.append(task.id)


def make_task(
    name: str,
    kind: str = "render",
    *,
    row: int = 0,
    priority: int = 0,
    chunk: int = 0,
    job: str = "job",
    admission_round: int = 0,
    length: int | None = 100,
    tenant: str = "",
    frames: int = 10,
    needs: frozenset[str] = frozenset(),
) -> Task:
    place = rank(_KINDS[kind], priority, admission_round, row, chunk, frames=length)
    return Task(name, _KINDS[kind], Chunk(chunk), frames, place, job, tenant, needs)


def run_out(dispatcher: Dispatcher) -> None:
    """Step until no task is left."""
    for _ in range(10_000):
        if not dispatcher.left:
            return
        dispatcher.step(0.1)
    raise AssertionError("the dispatcher does not come to an end")


def make_dispatcher(engine: ScriptedEngine, root: Path, clock: Clock | None = None, attempts: int = 3) -> Dispatcher:
    clock = clock or Clock()
    store = LocalStore(root)
    budgets = Budgets(attempts, memory=2, infrastructure=4, backoff_s=1.0)
    deadlines = Deadlines(10.0, 100.0)
    return Dispatcher(engine, store, Ledger(store, "run"), budgets, deadlines, clock, clock.sleep)
