"""The feed of a driver process: jobs that wait go there, and what it tells of them comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.task import Failure
from lipwise_ray.service.changes import Change, JobProgress, JobProgressed
from lipwise_ray.service.driver_process import DriverEnd, DriverLink, DriverProcess
from lipwise_ray.service.job_record import ServiceJob
from lipwise_ray.service.job_store import JobStore
from lipwise_ray.service.row_queue import MOST_UNPROVEN
from lipwise_ray.service.wire import (
    AddRow,
    BeginDriver,
    CancelRow,
    DriverStands,
    FromDriver,
    PrioritiseRow,
    RowBegan,
    RowOver,
    RowWent,
)
from lipwise_ray.storage.redact import redact

_LOG = logging.getLogger("lipwise_ray")
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.5, 60.0
_STRIKES_ALONE, _MOST_STRIKES = 2, 3
"""Ends of drivers after which a job that was at work is done alone, and after which it is given up."""

_MOST_LOST = 8
"""Ends of drivers in which nothing worked, with no job done in between: their pauses last minutes. Up to so many are
taken for the machine's fault."""

_STARTING = "The process that does the jobs is starting."


@dataclass(frozen=True, slots=True)
class _Pace:
    """A stage of a job, as it was when it was first seen."""

    stage: str
    frames_done: int
    begun_s: float

    def seconds_left(self, done: int, total: int) -> float | None:
        """Return the seconds that the rest of the stage takes at its pace so far; None where nothing tells.

        Args:
            done: Its frames that are done.
            total: Frames that it has.
        """
        gone = done - self.frames_done
        return round((total - done) * (time.monotonic() - self.begun_s) / gone, 1) if gone > 0 else None


class JobFeed:
    """Feeds a driver process, and another one where it ends: nothing of what it had in hand is lost.

    A process may end because of one of its jobs. Those that were at work when several ended are done one by one, and
    one that then ends another is given up. Where that happened to several and none was done in between, the machine may
    be at fault: nothing more is given up until a job is done, and all are done one by one, those first that were at
    work at the fewest ends. One with which nothing works is given up once another was done after it, or after many
    ends.

    Args:
        begin: Settings and places.
        jobs: The jobs.
        tell: Is told of progress.
        make: Starts a process.
    """

    def __init__(
        self,
        begin: BeginDriver,
        jobs: JobStore,
        tell: Callable[[Change], None],
        make: Callable[[BeginDriver], DriverLink] = DriverProcess,
    ) -> None:
        self._begin = begin
        self._make = make
        self._jobs = jobs
        self._tell = tell
        self._lock = jobs.changing
        self._process: DriverLink | None = None
        self._sent: dict[str, int] = {}
        """Attempts of the jobs that the process has."""
        self._strikes: dict[str, int] = {}
        """Ends of processes that had a job at work."""
        self._unproven = 0
        """Jobs that were given up since one was done."""
        self._lost_ends = 0
        """Ends of processes in which nothing worked, since a job was done."""
        self._worked_since: set[str] = set()
        """Of the jobs with strikes, those after which another was done: the fault may be theirs."""
        self._holds_back = False
        """Jobs were not sent because others are to be done alone first."""
        self._paces: dict[str, _Pace] = {}
        self._progress: dict[str, JobProgress] = {}
        self._closing = threading.Event()
        self._pause_s = _LEAST_PAUSE_S
        self._said = ""
        """The problem that the process told last."""
        self.problem = _STARTING
        """Sentence on why no job is done now; empty while jobs can be."""
        self._thread = threading.Thread(target=self._keep, name="driver-feed", daemon=True)

    def start(self) -> None:
        """Start the process, and keep one going."""
        self._thread.start()

    def close(self, patience_s: float) -> None:
        """Let the process stop, as by Ctrl-C, and end it where it takes longer than so many seconds."""
        self._closing.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.end_input()
        if self._thread.is_alive():
            self._thread.join(patience_s)
        with self._lock:
            process = self._process  # the thread may have started one meanwhile, or have ended before it
        if process is not None:
            process.kill()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        with self._lock:
            return self._process.pid if self._process else None

    def progress(self, job_id: str) -> JobProgress | None:
        """Return the progress of a job at work."""
        return self._progress.get(job_id)

    def offer(self, jobs: Iterable[ServiceJob]) -> None:
        """Hand jobs to the process that it does not have; while there is none, or others go alone, they wait."""
        with self._lock:
            if self._process is None:
                return
            if self._suspects() or self._may_be_the_machine:
                self._holds_back = True
                self._send_one()
                return
            for job in (self._jobs.get(one.id) for one in jobs):  # somebody may have cancelled it since
                if self._can_go(job):
                    self._send(job)

    def _can_go(self, job: ServiceJob) -> bool:
        is_whole = job.batch is None or self._jobs.has_batch(job.batch)  # its batch may fail to be written yet
        return job.is_unfinished and is_whole and job.id not in self._sent

    def cancel(self, job_id: str) -> None:
        """Take a job away from the process."""
        with self._lock:
            if self._process is not None and job_id in self._sent:
                self._process.send(CancelRow(job_id))
            else:
                self._strikes.pop(job_id, None)

    def prioritise(self, job_id: str, priority: int) -> None:
        """Give a job that the process has another priority."""
        with self._lock:
            if self._process is not None and job_id in self._sent:
                self._process.send(PrioritiseRow(job_id, priority))

    def _offer_all(self) -> None:
        self._holds_back = False
        self.offer(self._jobs.unfinished())

    def _send(self, job: ServiceJob) -> None:
        assert self._process is not None  # whoever calls has looked
        self._sent[job.id] = job.attempts
        self._process.send(AddRow(job.id, job.attempts, job.number, job.priority, job.columns))

    def _suspects(self) -> list[str]:
        for job_id in list(self._strikes):
            job = self._jobs.known(job_id)
            if job is None or not job.is_unfinished:  # somebody cancelled it
                del self._strikes[job_id]
        return [job_id for job_id, strikes in self._strikes.items() if strikes >= _STRIKES_ALONE]

    @property
    def _may_be_the_machine(self) -> bool:
        """True where nothing shows that it is the jobs: so many were given up without one done."""
        return self._unproven >= MOST_UNPROVEN

    def _send_one(self) -> None:
        """Send the next of the jobs that are to be done alone, once the process has nothing else."""
        if self._sent:
            return
        alone = self._jobs.unfinished() if self._may_be_the_machine else map(self._jobs.get, self._suspects())
        first = min(filter(self._can_go, alone), key=lambda job: self._strikes.get(job.id, 0), default=None)
        if first is not None:
            self._send(first)

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                process = self._make(self._begin)
            except OSError as error:
                self._wait(f"The process that does the jobs cannot be started: {error}.")
                continue
            with self._lock:
                self._process, self._said = process, ""
                self._offer_all()
            if self._closing.is_set():  # `close` may have come before there was a process to be told
                process.end_input()
            for message in process.messages():
                self._hear(message)
            end = process.wait()
            with self._lock:
                self._process = None
            if not self._closing.is_set():
                self._lasting(partial(self._mourn, self._struck(end)))
                self._wait(f"The process that does the jobs {end.how}; it is started again. {self._said}".rstrip())

    def _wait(self, problem: str) -> None:
        self.problem = problem
        _LOG.error("%s", problem)
        self._closing.wait(self._pause_s)
        self._pause_s = min(_MOST_PAUSE_S, 2 * self._pause_s)

    def _hear(self, message: FromDriver) -> None:
        is_done = self._lasting(partial(self._take, message))
        if not is_done and isinstance(message, RowOver):
            with self._lock:
                self._sent.pop(message.id, None)

    def _lasting(self, step: Callable[[], None]) -> bool:
        """Do a step that writes to the state, as often as it takes: what a driver tells it tells once.

        Returns:
            True once it is done; False where it never can be.
        """
        before, refusal = self.problem, ""
        while True:
            try:
                step()
            except StorageError as error:
                self.problem = refusal = redact(str(error))
                _LOG.error("%s", refusal)
                if self._closing.wait(_LEAST_PAUSE_S):
                    return False  # the next service finds the job done in the state
            except Exception as error:  # noqa: BLE001  # one job's fault, or a state of others: the thread goes on
                _LOG.error("what the process that does the jobs told is passed over: %s", redact(repr(error)))
                return False
            else:
                if refusal and self.problem == refusal:
                    self.problem = before
                return True

    def _struck(self, end: DriverEnd) -> dict[str, Failure]:
        """Count the end of a process against the jobs that it had at work; return the failures of those given up.

        Once for each end: what follows may have to be written several times.
        """
        given_up: dict[str, Failure] = {}
        with self._lock:
            self._lost_ends += end.nothing_works
            is_outage = end.nothing_works and self._lost_ends <= _MOST_LOST
            is_alone = len(self._sent) == 1
            for job in self._jobs.unfinished():
                if job.status != "processing" or job.id not in self._sent or job.is_unwanted:
                    continue
                strikes = self._strikes[job.id] = self._strikes.get(job.id, 0) + 1
                is_excused = self._may_be_the_machine or (is_outage and job.id not in self._worked_since)
                if strikes >= _MOST_STRIKES and is_alone and not is_excused:
                    self._unproven += 1
                    how = f"{end.how} while it had this job alone, the last of {strikes} times"
                    message = f"the process that does the jobs {how}. {self._said}"
                    given_up[job.id] = Failure("crash", "driver_died", message.rstrip())
        return given_up

    def _mourn(self, given_up: Mapping[str, Failure]) -> None:
        """Let the jobs wait again that a process had at work when it ended.

        Args:
            given_up: Failures of those that do not.
        """
        with self._lock:
            for job in self._jobs.unfinished():
                if job.status != "processing" or job.id not in self._sent:
                    continue
                failure = given_up.get(job.id)
                if job.is_unwanted:
                    self._jobs.put(_ended(job, status="cancelled"))
                elif failure is not None:
                    self._jobs.put(_ended(job, status="failed", code=failure.code, message=failure.message))
                else:
                    self._jobs.put(replace(job, status="pending", changed=_now()))
                self._sent.pop(job.id)
            self._sent.clear()
            self._paces.clear()
            self._progress.clear()

    def _take(self, message: FromDriver) -> None:
        match message:
            case DriverStands(problem):
                self.problem = self._said = problem
            case RowBegan(job_id, run_id):
                with self._lock:
                    job = self._jobs.get(job_id)
                    if job.status == "pending" and job.attempts == self._sent.get(job_id):
                        self._jobs.put(replace(job, status="processing", run_id=run_id, changed=_now()))
            case RowWent():
                self._note_progress(message)
            case RowOver():
                self._end(message)

    def _note_progress(self, message: RowWent) -> None:
        pace = self._paces.get(message.id)
        if pace is None or pace.stage != message.stage:
            pace = self._paces[message.id] = _Pace(message.stage, message.frames_done, time.monotonic())
        eta_s = pace.seconds_left(message.frames_done, message.frames_total)
        if message.job_id:
            self._note_records(message.id, message.job_id)
        progress = JobProgress(message.stage, message.frames_done, message.frames_total, eta_s)
        self._progress[message.id] = progress
        self._tell(JobProgressed(message.id, progress))

    def _note_records(self, name: str, job_id: str) -> None:
        """Note where a job at work has its records: what is rendered of it can be looked at."""
        with self._lock:
            job = self._jobs.get(name)
            if job.status == "processing" and job.job_id != job_id:
                self._jobs.put(replace(job, job_id=job_id, changed=_now()))

    def _end(self, over: RowOver) -> None:
        self._pause_s = _LEAST_PAUSE_S
        with self._lock:
            job = self._jobs.get(over.id)
            if job.is_unfinished and job.attempts == over.attempt:
                job = _ended(
                    job,
                    status=over.status,
                    run_id=over.run_id or job.run_id,
                    job_id=over.job_id or None,
                    output=over.output,
                    duration_s=over.duration_s,
                    code=over.code,
                    message=over.message and redact(over.message),
                    task=over.task,
                    stage=over.stage,
                    blame=over.blame,
                    verdict=over.verdict,
                    reasons=over.reasons,
                )
                self._jobs.put(job)
            for known in (self._sent, self._strikes, self._paces, self._progress):
                known.pop(over.id, None)
            if over.status == "completed":
                self._unproven = self._lost_ends = 0
                self._worked_since = {*self._strikes}
            if self._holds_back:
                self._offer_all()
            else:
                self.offer([job])


def _ended(job: ServiceJob, **outcome: object) -> ServiceJob:
    return replace(job, changed=_now(), is_unwanted=None, **outcome)


def _now() -> float:
    return round(time.time(), 3)
