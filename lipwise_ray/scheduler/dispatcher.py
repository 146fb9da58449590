"""Hands tasks to workers: order, budgets, retries, quarantine. Knows nothing of videos."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.dead_letters import KnownLetters, dead_letter
from lipwise_ray.scheduler.deadlines import Deadlines, StallWatch
from lipwise_ray.scheduler.engine import DEVICE_ERROR, Engine, Outcome, WorkerSlot
from lipwise_ray.scheduler.entry import Done, Entry, Lease, Subscriber
from lipwise_ray.scheduler.fair_queue import FairQueue
from lipwise_ray.scheduler.metrics import Meter
from lipwise_ray.scheduler.retry_policy import (
    BUDGETS,
    Budgets,
    CircuitBreaker,
    Place,
    Retry,
    decide_retry,
    retry_excused,
    spoils_its_process,
)
from lipwise_ray.scheduler.slot_choice import LaneWorkers, SlotChoice, no_worker_can
from lipwise_ray.scheduler.task import OUTSIDE, Failure, Lane, Task
from lipwise_ray.state import events, quarantine
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.shapes import LeaseRecord
from lipwise_ray.state.store import Store

_LANES: tuple[Lane, ...] = ("cpu", "gpu")  # the quick first: an engine may have one worker for both
_MOST_PASSED_OVER = 256


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
    slot_choice: SlotChoice = field(default_factory=SlotChoice)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    meter: Meter = field(default_factory=Meter)
    render_attempts: int = 0
    """Attempts handed out to render workers so far."""
    _entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    _ready: dict[Lane, FairQueue] = field(default_factory=lambda: defaultdict(FairQueue))
    _waiting: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    _leases: dict[str, Lease] = field(default_factory=dict[str, Lease])
    _doomed: dict[str, Entry] = field(default_factory=dict[str, Entry])
    _refused: list[tuple[Task, Subscriber, Failure]] = field(default_factory=list[tuple[Task, Subscriber, Failure]])
    _done: Done = field(default_factory=Done)
    _stalls: StallWatch = field(init=False)
    _letters: KnownLetters = field(init=False)
    _wants_others: set[Lane] = field(default_factory=set[Lane])
    """Lanes in which tasks wait for another worker than those that are there."""

    def __post_init__(self) -> None:
        self._stalls = StallWatch(self.deadlines)
        self._letters = KnownLetters(self.store)

    def add(self, task: Task, subscriber: Subscriber) -> None:
        """Queue a task, or join one of the same id; one in quarantine is refused at the next step.

        Args:
            task: The task; work with the same id is done once, for all its subscribers.
            subscriber: Called by `step` once, with the result or with the failure.
        """
        known = self._entries.get(task.id)
        if known is not None:
            known.subscribers.append((task, subscriber))
            return
        refusal = self._letters.refusal(task.id)
        if refusal is not None:
            self._refused.append((task, subscriber, refusal))
            return
        self._entries[task.id] = Entry(task, [(task, subscriber)], may_be_done=task.id in self._done)
        self._ready[task.lane].push(task)

    @property
    def left(self) -> int:
        """Tasks that are not finished."""
        return len(self._entries) + len(self._refused)

    @property
    def held_back(self) -> int:
        """Number of subscribers with a task that is out of budget, and not given up yet."""
        return len({id(subscriber) for entry in self._doomed.values() for _, subscriber in entry.subscribers})

    @property
    def running(self) -> dict[str, Task]:
        """Tasks in flight by worker."""
        return {worker: lease.entry.task for worker, lease in self._leases.items()}

    def leases(self) -> list[LeaseRecord]:
        """Return the leases of tasks in flight, for whoever looks at the state."""
        return [
            LeaseRecord(lease.entry.task.id, worker, lease.entry.attempts, lease.slot.node)
            for worker, lease in self._leases.items()
        ]

    def step(self, timeout_s: float, *, lease: bool = True) -> None:
        """Hand out the tasks that can be handed out and take in the attempts that ended.

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
        if lease and self.breaker.reason is None:
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
        self._settle()

    def backlog(self) -> dict[Lane, int]:
        """Return the number of tasks that wait or run in each lane."""
        counts: Counter[Lane] = Counter({lane: len(ready) for lane, ready in self._ready.items()})
        counts.update(lease.slot.lane for lease in self._leases.values())
        counts.update(self._entries[task_id].task.lane for _, task_id in self._waiting)
        for lane in self._wants_others:  # more than there are: those that are there cannot do what waits
            counts[lane] += len(self._living(lane))
        return dict(counts)

    def _living(self, lane: Lane) -> list[WorkerSlot]:
        """Return a lane's workers, idle and busy."""
        busy = (lease.slot for lease in self._leases.values())
        return [*self.engine.idle(lane), *(slot for slot in busy if slot.lane == lane)]

    def _hand_out(self, lane: Lane) -> None:
        ready = self._ready[lane]
        self._wants_others.discard(lane)
        if not ready:
            return
        workers = LaneWorkers(self._living(lane), [lease.slot for lease in self._leases.values()])
        passed_over: list[Task] = []
        unable: list[tuple[Entry, Failure]] = []
        due: list[tuple[WorkerSlot, Entry]] = []
        try:
            while workers.free and ready and len(passed_over) < _MOST_PASSED_OVER:
                entry = self._entries[ready.pop()]
                slot = self._slot_for(entry, workers)
                if slot is None:
                    self._pass_over(entry, workers.living, passed_over, unable)
                    continue
                workers.take(slot)
                due.append((slot, entry))
                ready.serve(entry.task)
                self._lease(entry, slot)
            if due:
                self.ledger.flush()
        except StorageError:  # nobody has what the ledger does not know of
            for slot, entry in due:
                self._leases.pop(slot.worker, None)
                entry.state = "PENDING"
                ready.push(entry.task)
            raise
        finally:
            for task in passed_over:
                ready.push(task)
        for slot, entry in due:
            self.engine.submit(slot.worker, entry.handed_out())
        for entry, failure in unable:
            self._note(entry, events.TaskRefused(code=failure.code, message=failure.message))
            self._give_up(entry, failure)

    def _pass_over(
        self, entry: Entry, living: list[WorkerSlot], passed_over: list[Task], unable: list[tuple[Entry, Failure]]
    ) -> None:
        """Note a task that gets no slot: it waits, or is refused where all workers are there and none can do it."""
        failure = no_worker_can(entry.task, living)
        if failure is not None and not self.engine.loading and len(living) >= self.engine.render_slots:
            unable.append((entry, failure))
            return
        passed_over.append(entry.task)
        if failure is not None:
            self._wants_others.add(entry.task.lane)

    def _slot_for(self, entry: Entry, workers: LaneWorkers) -> WorkerSlot | None:
        return self.slot_choice.choose(
            entry.task.id,
            entry.record,
            workers.able(entry.task),
            workers.busy,
            workers.nodes(entry.task),
            alone=entry.alone,
            fresh=entry.fresh,
            now_s=self.clock(),
        )

    def _lease(self, entry: Entry, slot: WorkerSlot) -> None:
        entry.attempts += 1
        entry.state = "LEASED"
        self.render_attempts += slot.lane == "gpu"
        self._note(entry, events.TaskLeased(attempt=entry.attempts, worker=slot.worker, node=slot.node))
        self._leases[slot.worker] = Lease(entry, slot, 0, self.clock(), self.clock())

    def _watch(self) -> None:
        """Kill workers that show no progress."""
        for lease, limit_s in self._stalls.stalled(self._leases, self.engine.frames_done, self.clock()):
            worker, node = lease.slot.worker, lease.slot.node
            self._note(lease.entry, events.TaskStalled(worker=worker, node=node, after_s=limit_s))
            self.engine.kill(worker)

    def _take_in_all(self, outcomes: list[Outcome]) -> None:
        """Take in every outcome, also where the store refuses to hear of one: nobody tells of them again."""
        refusal: StorageError | None = None
        for outcome in outcomes:
            try:
                self._take_in(outcome)
            except StorageError as error:
                refusal = refusal or error
        if refusal is None and any(outcome.failure for outcome in outcomes):
            self.ledger.flush()  # tracebacks outlive a driver that is killed now
        if refusal is not None:
            raise refusal

    def _take_in(self, outcome: Outcome) -> None:
        lease = self._leases.pop(outcome.slot.worker, None)
        entry = self._entries[outcome.task.id]
        how = outcome.failure.blame if outcome.failure else "done"
        seconds = self.clock() - lease.begun_s if lease else 0.0
        frames = 0 if outcome.result and outcome.result.reused else entry.task.frames
        self.meter.ended(entry.task.kind.name, how, frames, seconds)
        self.slot_choice.release(entry.task.id)
        attempt, worker, node = entry.attempts, outcome.slot.worker, outcome.slot.node
        if outcome.result is not None:
            self._note(entry, events.TaskDone(attempt=attempt, worker=worker, node=node))
            self._done.add(entry.task.id)
            self.breaker.succeeded(entry.task)
            self.slot_choice.processes.succeeded(outcome.slot.worker)
            self.slot_choice.node_health.succeeded(outcome.slot.node)
            self._end(entry)
            for task, subscriber in entry.subscribers:
                subscriber.finished(task, outcome.result)
            return
        failure = outcome.failure or Failure("application", "no_result", f"task {entry.task.id}: gave no result")
        entry.last = failure
        failed = entry.failed(failure, outcome.slot)
        entry.history.append(failed)
        self._note(entry, events.TaskFailed.of(failed))
        if self._tells_of_the_run(outcome.slot):
            self.breaker.failed(entry.task, failure)
        if BUDGETS[failure.blame] == "application" and self.slot_choice.node_health.failed(
            entry.task.id, outcome.slot.node, self.clock()
        ):
            self.ledger.event(events.NodeAvoided(node=node))
        where = Place(outcome.slot.node, outcome.slot.worker, self.slot_choice.processes.is_fresh(outcome.slot.worker))
        retry = decide_retry(entry.record, failure, where, self.budgets)
        if self._judge_process(outcome.slot, entry, failure, ends=retry is not None and retry.elsewhere):
            retry = retry_excused(entry.record, self.budgets)
        if not entry.subscribers or BUDGETS[failure.blame] == "none":
            self._give_up(entry, failure)
        elif retry is not None:
            self._wait(entry, retry)
        else:
            entry.state = "DOOMED"
            self._doomed[entry.task.id] = entry

    def _tells_of_the_run(self, slot: WorkerSlot) -> bool:
        """Tell whether a failure may be the whole run's: not while another worker of the lane has just succeeded."""
        proven = {one.worker for one in self._living(slot.lane) if self.slot_choice.processes.is_proven(one.worker)}
        return slot.worker in proven or not proven

    def _wait(self, entry: Entry, retry: Retry) -> None:
        entry.wait(retry)
        self._doomed.pop(entry.task.id, None)
        heapq.heappush(self._waiting, (self.clock() + retry.after_s, entry.task.id))

    def _judge_process(self, slot: WorkerSlot, entry: Entry, failure: Failure, *, ends: bool) -> bool:
        """End a process that is sick, or of which nothing is known any more; return whether the task is excused.

        Args:
            slot: The process's.
            entry: The task that failed.
            failure: How.
            ends: End it in any case.
        """
        if failure.blame in ("crash", "stalled", "node"):  # it is gone
            self.slot_choice.processes.ended(slot.worker)
            return False
        in_a_row = self.slot_choice.processes.failed(slot.worker, entry.task.id, failure.blame)
        if in_a_row or ends or spoils_its_process(failure):
            self.slot_choice.processes.ended(slot.worker)
            self._note(entry, events.ProcessEnded(worker=slot.worker, node=slot.node, code=failure.code))
            if not self.engine.renew(slot.worker) and failure.code == DEVICE_ERROR:
                self.breaker.stop(failure, "this process has lost its GPU, and there is no other process")
        for task_id, blame in in_a_row.items():
            other = self._entries.get(task_id)
            if other is None or other is entry or not other.record.excuse(blame, self.budgets):
                continue
            if other.state == "DOOMED" and other.record.may_go_on(blame, self.budgets):
                self._wait(other, retry_excused(other.record, self.budgets))
        return bool(in_a_row) and entry.record.excuse(failure.blame, self.budgets)

    def _settle(self) -> bool:
        """Give up the tasks whose budget is spent, unless the run as a whole is sick."""
        if self.breaker.reason is not None or not self._doomed:
            return False
        doomed = list(self._doomed.values())
        if len(doomed) == len(self._entries):
            for entry in doomed:
                assert entry.last is not None  # a failure doomed it
                self.breaker.conclude(entry.task.kind, entry.last)
        doomed = [entry for entry in doomed if not self.breaker.is_undecided(entry.task.kind)]
        if not doomed or self.breaker.reason is not None:
            return False
        reasons = [self._quarantined(entry) for entry in doomed]
        for entry, failure in zip(doomed, reasons, strict=True):
            if entry.task.id in self._entries:  # its row may have dropped it because of another
                self._give_up(entry, failure)
        return True

    def _quarantined(self, entry: Entry) -> Failure:
        """Write a task's dead letter and return the failure with which it is given up."""
        assert entry.last is not None  # a failure doomed it
        if entry.last.blame in OUTSIDE:  # once that works the same command does it
            return entry.last
        letter = quarantine.write(self.store, dead_letter(entry.task, entry.history, self.store.address))
        self.meter.quarantined(entry.task.kind.name)
        self._letters.add(letter)
        self._note(entry, events.TaskQuarantined(letter=letter))
        message = f"{entry.last.message} In quarantine after {entry.attempts} attempts: {letter}"
        return replace(entry.last, message=message)

    def _give_up(self, entry: Entry, failure: Failure) -> None:
        self._end(entry)
        for task, subscriber in entry.subscribers:
            subscriber.failed(task, failure)

    def _end(self, entry: Entry) -> None:
        self.slot_choice.node_health.forget(entry.task.id)
        self._doomed.pop(entry.task.id, None)
        del self._entries[entry.task.id]

    def drop(self, subscriber: Subscriber, which: Callable[[Task], bool] = lambda _: True) -> None:
        """Take a subscriber off those of its tasks that `which` picks; tasks that nobody wants and no worker has go."""
        self._refused = [item for item in self._refused if item[1] is not subscriber or not which(item[0])]
        for task_id, entry in list(self._entries.items()):
            entry.subscribers = [item for item in entry.subscribers if item[1] is not subscriber or not which(item[0])]
            if entry.subscribers or entry.state == "LEASED":
                continue
            if entry.state == "PENDING":
                self._ready[entry.task.lane].remove(entry.task)
            elif entry.state == "RETRY_WAIT":
                self._waiting = [item for item in self._waiting if item[1] != task_id]
                heapq.heapify(self._waiting)
            self.slot_choice.release(task_id)
            self._note(entry, events.TaskCancelled())
            self._doomed.pop(task_id, None)
            del self._entries[task_id]

    def _note(self, entry: Entry, event: events.TaskEvent) -> None:
        self.ledger.note(entry.task.id, entry.task.job_id, event)
