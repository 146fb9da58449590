"""Hands tasks to workers: order, budgets, retries, quarantine. Knows nothing of videos."""

from __future__ import annotations

import heapq
import shlex
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from lipwise_ray.dubbing.tasks import LANES, Kind, Lane, Task
from lipwise_ray.engine.contract import Engine, Failure, Outcome, Seat
from lipwise_ray.engine.metrics import Meter
from lipwise_ray.engine.queue import FairQueue
from lipwise_ray.engine.verdicts import PURSES, Budgets, FirstTasks, Neighbourhood, Record, judge
from lipwise_ray.errors import StorageError
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import Store
from lipwise_ray.values import Json

_LANES: tuple[Lane, ...] = tuple(dict.fromkeys(LANES.values()))
_TICKING: frozenset[Kind] = frozenset({"scan", "listen", "recognise", "render", "score", "measure"})
_MOST_PASSED_OVER = 256

State = Literal["PENDING", "LEASED", "RETRY_WAIT", "DOOMED"]
"""Of a task that the dispatcher holds; DOOMED: out of budget, but the run may be sick and not the task. The others of
the contract, DONE, QUARANTINED and CANCELLED, are in the state."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a worker may show no progress: where frames are counted, and in tasks without frames."""

    frames_s: float = 300.0
    quiet_s: float = 3600.0


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
    state: State = "PENDING"
    record: Record = field(default_factory=Record)
    attempts: int = 0
    history: list[Json] = field(default_factory=list[Json])
    last: Failure | None = None
    squeeze: int = 0
    alone: bool = False


@dataclass(slots=True)
class _Lease:
    entry: _Entry
    seat: Seat
    frames: int
    moved_s: float
    begun_s: float
    killed: bool = False


@dataclass(slots=True)
class Dispatcher:
    """Runs tasks until none is left.

    Equal tasks of several rows run once: a task's id names the work, and everyone who added it is
    told. An attempt is written to the ledger before it is handed out, and again when it ends.

    Attributes:
        engine: Where tasks run.
        store: Where dead letters are.
        ledger: Takes the attempts.
        budgets: Failures a task may have.
        deadlines: When a worker counts as stuck.
        clock: Monotonic seconds.
        sleep: Waits while nothing runs.
        meter: Is told of attempts that end.
    """

    engine: Engine
    store: Store
    ledger: Ledger
    budgets: Budgets = field(default_factory=Budgets)
    deadlines: Deadlines = field(default_factory=Deadlines)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    first: FirstTasks = field(default_factory=FirstTasks)
    meter: Meter = field(default_factory=Meter)
    attempts: int = 0
    """Attempts handed out so far."""
    _entries: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    _ready: dict[Lane, FairQueue] = field(default_factory=lambda: defaultdict(FairQueue))
    _waiting: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    _leases: dict[str, _Lease] = field(default_factory=dict[str, _Lease])
    _refused: list[tuple[Task, Subscriber, Failure]] = field(default_factory=list[tuple[Task, Subscriber, Failure]])
    _reserved: dict[str, str] = field(default_factory=dict[str, str])
    """Nodes that a task has, or is about to have, for itself."""
    _letters: set[str] | None = None

    def add(self, task: Task, subscriber: Subscriber) -> None:
        """Queue a task, or join one of the same id; one in quarantine is refused at the next step."""
        known = self._entries.get(task.id)
        if known is not None:
            known.subscribers.append((task, subscriber))
            return
        if self._letters is None:
            self._letters = quarantine.keys(self.store)
        if layout.dead_letter(task.id) in self._letters:
            self._refused.append((task, subscriber, _in_quarantine(self.store, task.id)))
            return
        self._entries[task.id] = _Entry(task, [(task, subscriber)])
        self._ready[task.lane].push(task)

    @property
    def left(self) -> int:
        """Tasks that are not finished."""
        return len(self._entries) + len(self._refused)

    @property
    def running(self) -> dict[str, Task]:
        """Tasks in flight by worker."""
        return {worker: lease.entry.task for worker, lease in self._leases.items()}

    def leases(self) -> list[Json]:
        """Return what is in flight, for whoever looks at the state."""
        return [
            {"task": lease.entry.task.id, "worker": worker, "node": lease.seat.node, "attempt": lease.entry.attempts}
            for worker, lease in self._leases.items()
        ]

    def step(self, timeout_s: float, *, lease: bool = True) -> None:
        """Hand out what can be handed out and take in what has ended.

        Args:
            timeout_s: Longest wait for an attempt to end.
            lease: False lets running tasks end and hands out nothing more.

        Raises:
            SetupError: No worker can be had.
            StorageError: The ledger cannot be written.
        """
        now = self.clock()
        while self._waiting and self._waiting[0][0] <= now:
            _, task_id = heapq.heappop(self._waiting)
            entry = self._entries[task_id]
            entry.state = "PENDING"
            self._ready[entry.task.lane].push(entry.task)
        refused = bool(self._refused)
        while self._refused:  # one by one: what follows may drop others
            task, subscriber, failure = self._refused.pop(0)
            subscriber.failed(task, failure)
        if lease and self.first.reason is None:
            self.engine.want(self.backlog())
            for lane in _LANES:
                self._hand_out(lane)
        if self._leases:
            self._take_in_all(self.engine.poll(timeout_s))
            self._watch()
        elif lease:
            next_s = self._waiting[0][0] - now if self._waiting else timeout_s
            if not self._settle() and not refused and self._entries:
                self.sleep(max(0.0, min(timeout_s, next_s)))
        else:
            self.sleep(timeout_s)
        if self.first.decided:
            self._settle()

    # who gets what ------------------------------------------------------------------------------

    def backlog(self) -> dict[Lane, int]:
        """Return how many tasks wait or run in each lane."""
        counts: Counter[Lane] = Counter({lane: len(ready) for lane, ready in self._ready.items()})
        counts.update(lease.seat.lane for lease in self._leases.values())
        counts.update(self._entries[task_id].task.lane for _, task_id in self._waiting)
        return dict(counts)

    def _hand_out(self, lane: Lane) -> None:
        ready = self._ready[lane]
        seats = self.engine.idle(lane) if ready else []
        passed_over: list[Task] = []
        due: list[tuple[Seat, _Entry]] = []
        try:
            while seats and ready and len(passed_over) < _MOST_PASSED_OVER:
                entry = self._entries[ready.pop()]
                seat = self._seat_for(entry, seats)
                if seat is None:
                    passed_over.append(entry.task)
                    continue
                seats.remove(seat)
                due.append((seat, entry))
                ready.serve(entry.task)
                self._lease(entry, seat)
            if due:
                self.ledger.flush()
        except StorageError:  # nobody has what the ledger does not know of
            for seat, entry in due:
                self._leases.pop(seat.worker, None)
                entry.state = "PENDING"
                ready.push(entry.task)
            raise
        finally:
            for task in passed_over:
                ready.push(task)
        for seat, entry in due:
            task = entry.task
            if entry.squeeze:
                task = replace(task, payload={**task.payload, "squeeze": entry.squeeze})
            self.engine.submit(seat.worker, task)

    def _seat_for(self, entry: _Entry, seats: list[Seat]) -> Seat | None:
        """Return a seat: not on an avoided node, nor where the task failed before, while there are others."""
        nodes = self.engine.nodes(entry.task.lane)
        for unwanted in (self.neighbourhood.avoided, entry.record.nodes):
            nodes = nodes - unwanted or nodes
        free = [s for s in seats if s.node in nodes and self._reserved.get(s.node, entry.task.id) == entry.task.id]
        if not entry.alone or not free:
            return free[0] if free else None
        load = Counter(lease.seat.node for lease in self._leases.values())
        chosen = min(free, key=lambda seat: (self._reserved.get(seat.node) != entry.task.id, load[seat.node]))
        self._reserved[chosen.node] = entry.task.id
        return None if load[chosen.node] else chosen

    def _lease(self, entry: _Entry, seat: Seat) -> None:
        entry.attempts += 1
        entry.state = "LEASED"
        self.attempts += 1
        self._note(entry, "leased", attempt=entry.attempts, worker=seat.worker, node=seat.node)
        self._leases[seat.worker] = _Lease(entry, seat, 0, self.clock(), self.clock())

    def _watch(self) -> None:
        """Kill workers that show no progress."""
        frames = self.engine.frames_done()
        now = self.clock()
        for worker, lease in self._leases.items():
            done = frames.get(worker, 0)
            if done != lease.frames:
                lease.frames, lease.moved_s = done, now
            ticks = lease.entry.task.kind in _TICKING
            limit_s = self.deadlines.frames_s if ticks else self.deadlines.quiet_s
            if now - lease.moved_s > limit_s and not lease.killed:
                lease.killed = True
                self._note(lease.entry, "stalled", worker=worker, node=lease.seat.node, after_s=limit_s)
                self.engine.kill(worker)

    # what became of it --------------------------------------------------------------------------

    def _take_in_all(self, outcomes: list[Outcome]) -> None:
        """Take in every outcome, also where the store refuses to hear of one: nobody tells of them again."""
        refusal: StorageError | None = None
        for outcome in outcomes:
            try:
                self._take_in(outcome)
            except StorageError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    def _take_in(self, outcome: Outcome) -> None:
        lease = self._leases.pop(outcome.seat.worker, None)
        entry = self._entries[outcome.task.id]
        how = outcome.failure.blame if outcome.failure else "done"
        seconds = self.clock() - lease.begun_s if lease else 0.0
        frames = 0 if (outcome.result or {}).get("reused") else entry.task.frames
        self.meter.ended(entry.task.kind, how, frames, seconds)
        for node in [node for node, task_id in self._reserved.items() if task_id == entry.task.id]:
            del self._reserved[node]
        facts: dict[str, Any] = {
            "attempt": entry.attempts,
            "worker": outcome.seat.worker,
            "node": outcome.seat.node,
        }
        job = entry.task.job_id or entry.task.id
        if outcome.result is not None:
            self._note(entry, "done", **facts)
            self.first.note(entry.task.id, job, None)
            self._end(entry)
            for task, subscriber in entry.subscribers:
                subscriber.finished(task, outcome.result)
            return
        failure = outcome.failure or Failure("application", "no_result", f"task {entry.task.id}: gave no result")
        entry.last = failure
        facts |= {"blame": failure.blame, "code": failure.code, "message": failure.message, "detail": failure.detail}
        entry.history.append({"time": round(time.time(), 3), **facts, "log": failure.log})
        self._note(entry, "failed", **facts)
        self.first.note(entry.task.id, job, failure)
        if PURSES[failure.blame] == "application" and self.neighbourhood.note(entry.task.id, outcome.seat.node):
            self.ledger.event("node_avoided", node=outcome.seat.node)
        retry = judge(entry.record, failure, outcome.seat.node, self.budgets) if entry.subscribers else None
        if retry is not None:
            entry.state, entry.squeeze, entry.alone = "RETRY_WAIT", retry.squeeze, retry.alone
            heapq.heappush(self._waiting, (self.clock() + retry.after_s, entry.task.id))
        elif PURSES[failure.blame] == "none" or not entry.subscribers:
            self._give_up(entry, failure)
        else:
            entry.state = "DOOMED"

    def _settle(self) -> bool:
        """Give up the tasks whose budget is spent, unless the run as a whole is sick."""
        if self.first.reason is not None:
            return False
        doomed = [entry for entry in self._entries.values() if entry.state == "DOOMED"]
        only_doomed = len(doomed) == len(self._entries)
        if not doomed or not (self.first.decided or only_doomed):
            return False
        reasons = [self._quarantined(entry) for entry in doomed]
        for entry, failure in zip(doomed, reasons, strict=True):
            if entry.task.id in self._entries:  # its row may have dropped it because of another
                self._give_up(entry, failure)
        return True

    def _quarantined(self, entry: _Entry) -> Failure:
        """Write a task's dead letter and return why it is given up."""
        assert entry.last is not None  # a failure doomed it
        if entry.last.blame == "storage":  # with room again the same command does it
            return entry.last
        letter = quarantine.write(self.store, entry.task.id, _letter(entry, self.store.address))
        self.meter.quarantined(entry.task.kind)
        if self._letters is not None:
            self._letters.add(letter)
        self._note(entry, "quarantined", letter=letter)
        message = f"{entry.last.message} In quarantine after {entry.attempts} attempts: {letter}"
        return replace(entry.last, message=message)

    def _give_up(self, entry: _Entry, failure: Failure) -> None:
        self._end(entry)
        for task, subscriber in entry.subscribers:
            subscriber.failed(task, failure)

    def _end(self, entry: _Entry) -> None:
        self.neighbourhood.forget(entry.task.id)
        del self._entries[entry.task.id]

    def drop(self, subscriber: Subscriber) -> None:
        """Take a subscriber off every task; tasks that nobody wants and that do not run go too."""
        self._refused = [item for item in self._refused if item[1] is not subscriber]
        for task_id, entry in list(self._entries.items()):
            entry.subscribers = [(task, other) for task, other in entry.subscribers if other is not subscriber]
            if entry.subscribers or entry.state == "LEASED":
                continue
            if entry.state == "PENDING":
                self._ready[entry.task.lane].remove(entry.task)
            elif entry.state == "RETRY_WAIT":
                self._waiting = [item for item in self._waiting if item[1] != task_id]
                heapq.heapify(self._waiting)
            self._reserved = {node: owner for node, owner in self._reserved.items() if owner != task_id}
            self._note(entry, "cancelled")
            del self._entries[task_id]

    def _note(self, entry: _Entry, event: str, **facts: Any) -> None:  # noqa: ANN401  # JSON values
        self.ledger.note(entry.task.id, entry.task.job_id, event, **facts)


def _letter(entry: _Entry, state: str) -> Json:
    task = entry.task
    return {
        "kind": task.kind,
        "job_id": task.job_id,
        "frames": task.frames,
        "payload": task.payload,
        "attempts": entry.history,
        "nodes": sorted({attempt["node"] for attempt in entry.history}),
        "time": round(time.time(), 3),
        "reproduce": f"lipwise-ray reproduce {shlex.quote(state)} {shlex.quote(task.id)}",
    }


def _in_quarantine(store: Store, task_id: str) -> Failure:
    letter = quarantine.read(store, task_id) or {}
    history: list[Json] = letter.get("attempts", [])
    why = history[-1]["message"] if history else "its dead letter cannot be read"
    return Failure(
        "application",
        "quarantined",
        f"task {task_id}: is in quarantine: {why} Lift it with `lipwise-ray retry`, see {layout.dead_letter(task_id)}.",
    )
