"""Which of the idle workers gets a task. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from lipwise_ray.dubbing.tasks import Task
from lipwise_ray.engine.contract import Failure, Seat
from lipwise_ray.engine.verdicts import Neighbourhood, Processes, Record


@dataclass(slots=True)
class Seating:
    """Chooses seats by what is known of nodes and processes.

    Attributes:
        neighbourhood: Knows bad nodes.
        processes: Knows which processes work.
    """

    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    processes: Processes = field(default_factory=Processes)
    _reserved: dict[str, str] = field(default_factory=dict[str, str])
    """Nodes that a task has, or is about to have, for itself."""

    def choose(
        self,
        task_id: str,
        record: Record,
        free: Iterable[Seat],
        busy: Collection[Seat],
        nodes: set[str],
        *,
        alone: bool,
        fresh: bool,
        now_s: float,
    ) -> Seat | None:
        """Return a seat: not on an avoided node, nor where the task failed before, while there are others.

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
        for unwanted in (self.neighbourhood.avoided(now_s), record.nodes):
            nodes = nodes - unwanted or nodes
        seats = [seat for seat in free if seat.node in nodes and self._reserved.get(seat.node, task_id) == task_id]
        if fresh:
            seats.sort(key=lambda seat: not self.processes.is_fresh(seat.worker))
        elif record.is_suspect:
            seats = self._proven(seats, busy, nodes)
        if not alone or not seats:
            return seats[0] if seats else None
        load = Counter(seat.node for seat in busy)
        chosen = min(seats, key=lambda seat: (self._reserved.get(seat.node) != task_id, load[seat.node]))
        self._reserved[chosen.node] = task_id
        return None if load[chosen.node] else chosen

    def _proven(self, free: list[Seat], busy: Collection[Seat], nodes: set[str]) -> list[Seat]:
        """Return the seats whose process has just succeeded at something, while there are any, be they busy.

        A task that failed is tried in such a one: a GPU that is broken shows in fresh processes again and again, and is
        idle more often than one that works.
        """
        lanes = {seat.lane for seat in free}
        seats = [*free, *(seat for seat in busy if seat.lane in lanes and seat.node in nodes)]
        if not any(self.processes.is_proven(seat.worker) for seat in seats):
            return free
        return [seat for seat in free if self.processes.is_proven(seat.worker)]

    def release(self, task_id: str) -> None:
        """Let others have the nodes that a task had for itself."""
        self._reserved = {node: owner for node, owner in self._reserved.items() if owner != task_id}


def no_worker_can(task: Task, living: Sequence[Seat]) -> Failure | None:
    """Return why none of the workers that are there can do a task; None where one can, or where there is none."""
    if not task.needs or not living or any(seat.can(task) for seat in living):
        return None
    there = ", ".join(sorted(frozenset[str]().union(*(seat.able or () for seat in living))))
    message = f"task {task.id}: needs a worker that can {', '.join(sorted(task.needs))}, got {len(living)} with {there}"
    return Failure("setup", "no_worker_can", f"{message}. Name further choices in encode.codec, or add such machines.")
