"""Choice of the idle worker that gets a task. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.scheduler.retry_policy import NodeHealth, ProcessHealth, TaskHistory
from lipwise_ray.scheduler.task import Failure, Task

NO_WORKER_CAN = "no_worker_can"
"""Code of a task that is given up because no worker can do what it needs."""


@dataclass(slots=True)
class LaneWorkers:
    """Workers of a lane while its tasks are handed out.

    Attributes:
        living: All that are alive, busy ones too.
        busy: Workers that have a task, of any lane.
        free: Those of the lane that have none, by name.
    """

    living: list[WorkerSlot]
    busy: list[WorkerSlot]
    free: dict[str, WorkerSlot] = field(init=False)
    _nodes: dict[frozenset[str], frozenset[str]] = field(default_factory=dict[frozenset[str], frozenset[str]])

    def __post_init__(self) -> None:
        at_work = {slot.worker for slot in self.busy}
        self.free = {slot.worker: slot for slot in self.living if slot.worker not in at_work}

    def able(self, task: Task) -> Iterator[WorkerSlot]:
        """Yield the idle workers that can do a task."""
        return (slot for slot in self.free.values() if slot.can(task))

    def nodes(self, task: Task) -> frozenset[str]:
        """Return the nodes that have workers which can do a task, busy ones too."""
        if task.needs not in self._nodes:  # a thousand workers are looked through once, not for every task
            self._nodes[task.needs] = frozenset(slot.node for slot in self.living if slot.can(task))
        return self._nodes[task.needs]

    def take(self, slot: WorkerSlot) -> None:
        """Note that a worker gets a task."""
        del self.free[slot.worker]
        self.busy.append(slot)


@dataclass(slots=True)
class SlotChoice:
    """Chooses slots by the health of nodes and processes.

    Attributes:
        node_health: Knows bad nodes.
        processes: Knows which processes work.
    """

    node_health: NodeHealth = field(default_factory=NodeHealth)
    processes: ProcessHealth = field(default_factory=ProcessHealth)
    _reserved: dict[str, str] = field(default_factory=dict[str, str])
    """Nodes that a task has, or is about to have, for itself."""

    def choose(
        self,
        task_id: str,
        record: TaskHistory,
        free: Iterable[WorkerSlot],
        busy: Collection[WorkerSlot],
        nodes: AbstractSet[str],
        *,
        alone: bool,
        fresh: bool,
        now_s: float,
    ) -> WorkerSlot | None:
        """Return a slot: not on an avoided node, nor where the task failed before, while there are others.

        Args:
            task_id: The task's.
            record: What it went through.
            free: Idle workers of its lane.
            busy: Workers that have a task, of any lane.
            nodes: Those that have workers of its lane, busy ones too.
            alone: Nothing else is to run on its node.
            fresh: It had better be its process's first task.
            now_s: The time.
        """
        for unwanted in (self.node_health.avoided(now_s), record.nodes):
            nodes = nodes - unwanted or nodes
        fitting = (slot for slot in free if slot.node in nodes and self._reserved.get(slot.node, task_id) == task_id)
        if not (fresh or alone or record.is_suspect):
            return next(fitting, None)
        slots = list(fitting)
        if fresh:
            slots.sort(key=lambda slot: not self.processes.is_fresh(slot.worker))
        elif record.is_suspect:
            slots = self._proven(slots, busy, nodes)
        if not alone or not slots:
            return next(iter(slots), None)
        load = Counter(slot.node for slot in busy)
        chosen = min(slots, key=lambda slot: (self._reserved.get(slot.node) != task_id, load[slot.node]))
        self._reserved[chosen.node] = task_id
        return None if load[chosen.node] else chosen

    def _proven(
        self, free: list[WorkerSlot], busy: Collection[WorkerSlot], nodes: AbstractSet[str]
    ) -> list[WorkerSlot]:
        """Return the slots whose process has just succeeded at something, while there are any, be they busy.

        A task that failed is tried in such a one: a GPU that is broken shows in fresh processes again and again, and is
        idle more often than one that works.
        """
        lanes = {slot.lane for slot in free}
        slots = [*free, *(slot for slot in busy if slot.lane in lanes and slot.node in nodes)]
        if not any(self.processes.is_proven(slot.worker) for slot in slots):
            return free
        return [slot for slot in free if self.processes.is_proven(slot.worker)]

    def release(self, task_id: str) -> None:
        """Let others have the nodes that a task had for itself."""
        if self._reserved:
            self._reserved = {node: owner for node, owner in self._reserved.items() if owner != task_id}


def no_worker_can(task: Task, living: Sequence[WorkerSlot]) -> Failure | None:
    """Return the failure of a task that no living worker can do; None where one can, or where there is no worker.

    Args:
        task: The task.
        living: All workers of its lane that are alive, busy ones too.
    """
    if not task.needs or not living or any(slot.can(task) for slot in living):
        return None
    there = ", ".join(sorted(frozenset[str]().union(*(slot.offers or () for slot in living))))
    needs = ", ".join(sorted(task.needs))
    message = f"task {task.id}: none of the {len(living)} workers can do {needs}; they can do {there or 'none of it'}."
    return Failure(
        "setup",
        NO_WORKER_CAN,
        f"{message} Name further choices in encode.codec or engine.cpu_runtime, or add such machines.",
    )
