"""A run: the rows of a manifest from start to report."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from lipwise_ray.errors import EngineError, LipwiseError, SetupError, StateError, StorageError
from lipwise_ray.scheduler.admission import Admission
from lipwise_ray.scheduler.beat import beat_of
from lipwise_ray.scheduler.cancel_requests import CancelRequests
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.ending import NOTHING_WORKS, Ending
from lipwise_ray.scheduler.engine import failure_of
from lipwise_ray.scheduler.listener import Listener
from lipwise_ray.scheduler.notices import RunNotices
from lipwise_ray.scheduler.row_job import Job, RowBatch, RowJob, WaitingBatch
from lipwise_ray.scheduler.task import ALL_LANES, AnyKind, Failure, Task, TaskResult
from lipwise_ray.state import done_rows, layout
from lipwise_ray.state.events import RowBroke, RunStopped, TasksAbandoned
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.row_outcome import RowOutcome, RowResult
from lipwise_ray.state.speeds import LATEST_JOBS, JobSpeed, speed_of
from lipwise_ray.state.store import Store, to_json

_FEWEST_ROWS, _ROWS_A_WORKER = 8, 2
_STEP_S, _SOON_S = 0.5, 0.1
_TICK_S = 0.25
Onward = TypeVar("Onward")


@dataclass(slots=True)
class _Running:
    """Feeds one row's flow with the results of its tasks."""

    run: Run
    job: RowJob
    begun_s: float

    def begin(self) -> None:
        """Queue the row's first tasks."""
        first = self._driven("", self.job.flow.start)
        if isinstance(first, RowFailure):
            self.give_up(first)
        else:
            self.add(first)

    def finished(self, task: Task, result: TaskResult) -> None:
        """Go on with the row."""
        if not self._waits_for(task):
            return
        if result.problem:
            self.run.listener.problem(f"row {self.job.id}: {result.problem}")
        following = self._driven(task.kind.name, lambda: self.job.flow.advance(task, result))
        if isinstance(following, RowFailure):
            self.give_up(following)
            return
        if task.kind.admits is None:
            self.add(following)
        else:
            self.run.admit(self, following, task.kind.admits)
        self._end_if_done()

    def failed(self, task: Task, failure: Failure) -> None:
        """Go on without the task, or give the row up; what its other tasks finished stays in the state."""
        if not self._waits_for(task):
            return
        flow, stage = self.job.flow, task.kind.name
        onward = self._driven(stage, lambda: flow.on_failure(task, failure))
        if onward is None:
            code, message, blame = failure.code, failure.message, failure.blame
            onward = RowFailure(code=code, message=message, stage=stage, task=task.id, blame=blame)
        if isinstance(onward, RowFailure):
            self.give_up(onward)
            return
        self.run.dispatcher.drop(self, flow.is_past)
        self.add(onward)
        self._end_if_done()

    def _waits_for(self, task: Task) -> bool:
        is_past = self._driven(task.kind.name, lambda: self.job.flow.is_past(task))
        if isinstance(is_past, RowFailure):
            self.give_up(is_past)
            return False
        return not is_past

    def _driven(self, stage: str, step: Callable[[], Onward]) -> Onward | RowFailure:
        """Return the outcome of a step of the row's flow, or the failure by which this row alone ends.

        What drives it may break: by a result or a setting that is not what it expects, say.
        """
        try:
            return step()
        except (StorageError, StateError, EngineError):
            raise  # the run's, whichever row met it
        except Exception as error:  # noqa: BLE001  # becomes a recorded outcome, as a task's failure does
            failure = failure_of(error)
            self.run.ledger.event(RowBroke(row=self.job.row, stage=stage, detail=failure.detail))
            return RowFailure(code=failure.code, message=failure.message, stage=stage, blame=failure.blame)

    def _end_if_done(self) -> None:
        if self.job.flow.result is not None:
            self.run.end(self, self.job.flow.result)

    def add(self, tasks: list[Task]) -> None:
        """Queue tasks of the row."""
        for task in tasks:
            self.run.dispatcher.add(task, self)

    def cancel(self) -> None:
        """End the row because somebody asked for it."""
        message = f"row {self.job.id}: was cancelled by `lipwise-ray cancel`."
        self.give_up(RowFailure(code="cancelled", message=message))

    def give_up(self, failure: RowFailure) -> None:
        """End the row without a result."""
        self.run.dispatcher.drop(self)
        self.run.end(self, failure)


@dataclass(slots=True)
class Run:
    """Works through rows, a bounded number at a time.

    Attributes:
        id: Names the run in the state.
        store: The state.
        place: Where this driver is asked for things.
        dispatcher: Runs the tasks.
        ledger: Takes the run's events.
        lease: This driver's hold on the state.
        listener: Is told what happens.
        active_rows: Rows worked on at a time, 0 for as many as the workers need.
        active_chunks: Chunks of a tenant's videos that are being rendered at a time.
        is_open: Rows are added meanwhile, the same again too: only those at work can be cancelled.
    """

    id: str
    store: Store
    place: Store
    dispatcher: Dispatcher
    ledger: Ledger
    lease: DriverLease
    listener: Listener
    active_rows: int
    active_chunks: int
    is_open: bool = False
    stopped: str = ""
    """Reason for which it ended before its rows did; empty for a run that went to its end."""
    tenants_at_work: Counter[str] = field(default_factory=Counter[str])
    """Rows at work by tenant."""
    totals: Counter[str] = field(default_factory=Counter[str])
    """Rows by status, and what they cost."""
    speeds: deque[JobSpeed] = field(default_factory=lambda: deque[JobSpeed](maxlen=LATEST_JOBS))
    """Of the jobs that ended last."""
    _active: dict[int, _Running] = field(default_factory=dict[int, _Running])
    cancelled: bool = False
    """The whole run was cancelled: rows that were not begun stay so."""
    _unwanted: set[str] = field(default_factory=set[str])
    _source_empty: bool = False
    _batches: int = 0
    """Batches that have not ended."""
    _ticked_s: float = -math.inf
    _awaiting_admission: dict[int, list[Task]] = field(default_factory=dict[int, list[Task]])
    _admission: Admission = field(init=False)
    _requests: CancelRequests = field(init=False)
    notices: RunNotices = field(init=False)

    def __post_init__(self) -> None:
        self._admission = Admission(self.active_chunks)
        self._requests = CancelRequests(self.place)
        self.notices = RunNotices(self.id, self.store, self.listener)

    @property
    def most_rows(self) -> int:
        """Number of rows that are worked on at a time now."""
        return self.active_rows or max(_FEWEST_ROWS, _ROWS_A_WORKER * self.dispatcher.engine.render_slots)

    def work(self, jobs: Iterator[Job], ending: Ending) -> None:
        """Work until every row has ended, or the engine is lost, or nothing more is to be begun and nothing runs."""
        try:
            self._work(jobs, ending)
        except (EngineError, SetupError) as error:
            works = self.dispatcher.render_attempts or self.totals["done"]  # probing goes on while models load
            if isinstance(error, StateError) or (isinstance(error, SetupError) and not works):
                raise
            self.stopped = error.code
            self.listener.problem(str(error))
        finally:
            self._close()

    def _close(self) -> None:
        """Make everything last that was noted: outcomes of rows that were found done stand nowhere else."""
        try:
            self.ledger.close()
        except StorageError as error:
            self.stopped = self.stopped or error.code
            self.notices.problem(str(error))

    def _work(self, jobs: Iterator[Job], ending: Ending) -> None:
        self._source_empty = False
        halted = ""
        while True:
            try:
                halted = halted or self._halted()
                wish = ending.wish(cancelled=self.cancelled)
                self.stopped = halted or wish
                stopping = bool(self.stopped)
                if not stopping:
                    self._begin_rows(jobs)
                is_idle = not (self._active or self._batches) and (self._source_empty or stopping)
                if is_idle or (stopping and not self.dispatcher.running):
                    break
                if ending.is_out_of_time:
                    self._abandon(ending.stop_s)
                    break
                step_s = _SOON_S if self.dispatcher.engine.loading else _STEP_S
                self.dispatcher.step(step_s, lease=not stopping and self.lease.is_sure)
                self._look_for_requests()
            except StorageError as error:
                # What happens cannot be written down: nothing more is begun, and a later run goes on.
                self.notices.problem(str(error))
                halted = error.code
            self._tick()

    def _abandon(self, stop_s: float) -> None:
        """Say which tasks are not waited for any longer: the engine ends them, and the next run does them again."""
        tasks = [task.id for task in self.dispatcher.running.values()]
        with suppress(StorageError):  # whoever asked for the stop is not to wait for a disk
            self.ledger.event(TasksAbandoned(tasks=tasks))
        self.listener.problem(
            f"run {self.id}: {len(tasks)} tasks did not end within {stop_s:g} s of the stop (engine.stop_s); the next "
            "run does them again"
        )

    def _begin_rows(self, jobs: Iterator[Job]) -> None:
        # Rows whose tasks are out of budget only wait for others to show that the run as a whole is well.
        while not self._source_empty and len(self._active) - self.dispatcher.held_back < self.most_rows:
            job = next(jobs, self)
            if job is None or isinstance(job, Run):
                self._source_empty = job is not None
                return
            if isinstance(job, RowJob):
                self._begin(job)
            else:
                self._batches += 1
                self.dispatcher.add(job.task, WaitingBatch(job, self._end_batch))

    def _halted(self) -> str:
        """Return the reason why nothing more may be started, and say so once; empty while work can go on."""
        if not self.lease.held:
            self.listener.problem(f"{self.store.address}: another driver took this state over, so this one stops.")
            return "lease_lost"
        sick = self.dispatcher.breaker.reason
        if sick is None:
            return ""
        self.ledger.event(RunStopped(code=NOTHING_WORKS, message=sick.message))
        self.listener.problem(
            f"run {self.id}: {self.dispatcher.breaker.why}, so it stops before it gives up the rest. The last one: "
            f"{sick.message} Put that right and run the same command again."
        )
        return NOTHING_WORKS

    def _look_for_requests(self) -> None:
        """Cancel the rows, or the run, that `lipwise-ray cancel` names."""
        for name in self._requests.taken():
            self.cancelled = self.cancelled or name is None
            active = list(self._active.values())
            meant = [one for one in active if self.cancelled or name in (one.job.flow.job_id, one.job.id)]
            for running in meant:
                running.cancel()
            if name and not (meant or self.is_open):  # it may wait in the manifest still
                self._unwanted.add(name)

    def _begin(self, job: RowJob) -> None:
        running = _Running(self, job, time.monotonic())
        self._active[job.row] = running
        self.tenants_at_work[job.tenant] += 1
        self.listener.row_started(job.row, job.id)
        if job.id in self._unwanted:
            running.cancel()
        else:
            running.begin()

    def admit(self, running: _Running, tasks: list[Task], kind: AnyKind) -> None:
        """Let a row's tasks of a kind begin, or wait until those rows of its tenant that were admitted leave room."""
        if not any(task.kind is kind for task in tasks):
            running.add(tasks)
            return
        job = running.job
        self._awaiting_admission[job.row] = tasks
        self._admission.wait(job.row, job.tenant, tasks[0].rank, job.flow.tally.chunks)
        self._admit_waiting(job.tenant)

    def _admit_waiting(self, tenant: str) -> None:
        """Let a tenant's rows in while there is room."""
        for row in self._admission.admitted(tenant):
            self._active[row].add(self._awaiting_admission.pop(row))

    def end(self, running: _Running, result: RowResult) -> None:
        """Record the outcome of a row."""
        job = running.job
        if self._active.pop(job.row, None) is None:
            return
        self.tenants_at_work[job.tenant] -= 1
        if not self.tenants_at_work[job.tenant]:
            del self.tenants_at_work[job.tenant]
        self._awaiting_admission.pop(job.row, None)
        self._admission.leave(job.row)
        self._admit_waiting(job.tenant)
        outcome = RowOutcome(
            row=job.row,
            row_id=job.id,
            job_id=("" if isinstance(result, RowFailure) else result.job_id) or job.flow.job_id,
            result=result,
            seconds=round(time.monotonic() - running.begun_s, 3),
            tally=job.flow.tally,
            ended=round(time.time(), 3),
            extra=job.extra or None,
        )
        self.record(outcome)
        if job.digest and job.flow.inputs is not None:
            done_rows.note_done(self.store, self.id, job.digest, job.flow.inputs, outcome)
        if (speed := speed_of(result)) is not None:
            self.speeds.append(speed)

    def _end_batch(self, batch: RowBatch, result: TaskResult | None) -> None:
        """Record the outcomes of a batch's rows that are done."""
        self._batches -= 1
        rows = batch.unchanged(result, self._unwanted.__contains__)
        done_rows.note_reused(self.store, self.id, rows)
        for row in rows:
            self.listener.row_started(row.row, row.row_id)
            self._count(row.outcome)

    def record(self, outcome: RowOutcome) -> None:
        """Write a row's outcome to the state and tell the listener."""
        self.store.write(layout.row(self.id, outcome.row, outcome.status), to_json(outcome.record))
        self._count(outcome)

    def _count(self, outcome: RowOutcome) -> None:
        self.totals[outcome.status] += 1
        self.totals.update(outcome.tally.counts() if outcome.tally else {})
        self.listener.row_ended(outcome)
        self.dispatcher.meter.row(outcome.status, outcome.result)

    def count_unfinished(self) -> None:
        """Add the costs of rows that were started and did not end."""
        for running in self._active.values():
            self.totals.update(running.job.flow.tally.counts())

    def refuse(self, row: int, row_id: str, errors: list[LipwiseError], extra: dict[str, str] | None = None) -> None:
        """Record a row that cannot be begun.

        Args:
            row: Its line in the manifest.
            row_id: Its name there.
            errors: At least one: the first gives code and blame of the record, all give its message.
            extra: Further columns of the manifest.
        """
        message = "\n".join(str(error) for error in errors)
        code, blame = errors[0].code, failure_of(errors[0]).blame
        failure = RowFailure(code=code, message=message, stage="validate", blame=blame)
        self.record(RowOutcome(row=row, row_id=row_id, job_id="", result=failure, seconds=0.0, extra=extra or None))

    def _tick(self) -> None:
        """Show how things stand, a few times a second: it takes as long as there are workers and rows at work."""
        now = time.monotonic()
        if now - self._ticked_s < _TICK_S:
            return
        self._ticked_s = now
        engine, busy = self.dispatcher.engine, self.dispatcher.leases()
        self.notices.fell_back(engine.fallbacks)
        self.lease.about = beat_of(engine, busy)
        try:
            self.dispatcher.meter.now(
                self.dispatcher.backlog(),
                busy=len(busy),
                idle=len({slot.worker for lane in ALL_LANES for slot in engine.idle(lane)}),
                loading=engine.loading,
                gpu_bytes=engine.gpu_bytes,
                lease_age_s=self.lease.age_s,
            )
        except StorageError as error:
            self.notices.problem(str(error))
        in_flight: dict[str, int] = {}
        done = engine.frames_done()
        for worker, task in self.dispatcher.running.items():
            in_flight[task.row_id] = in_flight.get(task.row_id, 0) + min(done.get(worker, 0), task.frames)
        self.listener.tick(
            [(running.job.id, running.job.flow, in_flight.get(running.job.id, 0)) for running in self._active.values()],
            engine.loading,
        )
