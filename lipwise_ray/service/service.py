"""The service: its queue of jobs, and everything that a door may ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lipwise_ray.errors import InputError, SettingsError, StateError, os_reason
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.runs.run_inputs import out_address, state_address
from lipwise_ray.service.changes import ChangeCallback, ChangeListeners, JobProgress
from lipwise_ray.service.feed import JobFeed
from lipwise_ray.service.folder_lock import FolderLock
from lipwise_ray.service.intake import JobIntake
from lipwise_ray.service.job_record import (
    JobDraft,
    JobStatus,
    JsonObject,
    ServiceBatch,
    ServiceJob,
    check_priority,
)
from lipwise_ray.service.job_store import JobStore, JobSummary
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.side_messages import begin_side_work
from lipwise_ray.service.side_work import SideWork
from lipwise_ray.service.wire import begin_driver
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.format import settle_format
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.store import Store, open_store
from lipwise_ray.storage.address import is_local, is_within, whole_path

_HOLDER = "of lipwise-ray serve"
_CLOSING_S = 15.0
"""More than `engine.stop_s`: until a driver that was stopped has ended."""


class Service:
    """A queue of jobs and the driver process that does them; `Service.open` makes one.

    Every method may be called from any thread. Those that read or write the state may take as long as that does.

    Attributes:
        folder: Its own folder: uploads, secrets.
        store: The state.
        out: Outputs go under this folder or prefix.
        source: Its settings as they were loaded.
        settings: Those without any row's columns.
        side_work: Short media work, which doors ask for beside jobs.
    """

    def __init__(
        self, folder: Path, source: LoadedSettings, state: str, out: str, lease: DriverLease, lock: FolderLock
    ) -> None:
        self.folder = folder
        self.store: Store = open_store(state)
        self.out = out
        self.source = source
        self.settings: Settings = source.for_run()
        self._lease = lease
        self._lock = lock
        self._listeners = ChangeListeners()
        # One that was suspended sees no beat of its own lately, and looks before it writes.
        self._jobs = JobStore(self.store, self._listeners.tell, lambda: lease.is_sure or lease.check())
        reader = RowReader(source, ClientPolicy.of(self.settings.paths, str(self.uploads)), out)
        self._intake = JobIntake(self._jobs, reader, self.settings.service.queue, lambda: self._is_open)
        self._is_closed = self._works = False
        begin = begin_driver(source, state, out, str(self.uploads))
        self._feed = JobFeed(begin, self._jobs, self._listeners.tell)
        self.side_work = SideWork(begin_side_work(begin, str(folder / "side")))
        self.on_loss: Callable[[], None] = lambda: None
        """Called, by a thread aside, once another server has taken the state over and what runs here has ended."""

    @staticmethod
    def open(
        folder: str | Path,
        source: LoadedSettings,
        *,
        state: str | None = None,
        out: str | None = None,
        works: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> Service:
        """Open the service of a folder: jobs that an earlier one left unfinished go on.

        Args:
            folder: Its own folder; made when missing.
            source: Settings.
            state: Folder or prefix of the state; without it `paths.state`, or ``state`` in the folder.
            out: Folder or prefix for outputs; without it `paths.out`, or ``out`` in the folder.
            works: Start the process that does the jobs; without it they wait.
            say: Called with a line for people where it has to wait for the state.

        Raises:
            SetupError: Settings, folder or state cannot be used, or another server has them.
            StorageError: A disk or store refused.
        """
        settings, place = source.for_run(), whole_path(folder)
        out = out_address(out or settings.paths.out or f"{place}/out", settings, str(place))
        state = state_address(state or settings.paths.state or f"{place}/state", settings, out)
        if is_within(out, state):
            do = "Name another folder or prefix"
            raise SettingsError("out_in_state", "--out", got=f"{out} is the state {state}, or lies in it", do=do)
        if is_local(out) and Path(out).exists() and not Path(out).is_dir():
            raise SettingsError("out_not_folder", "--out", got=f"{out} is not a folder", do="Name another one")
        uploads = str(place / "uploads")
        for option, address in (("--out", out), ("--state", state)):
            if is_within(address, uploads):  # which rows of clients may read, and which is swept
                got = f"{address} lies in {uploads}, where the files of clients are"
                raise SettingsError("in_uploads", option, got=got, do="Name another folder or prefix")
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            (place / "uploads").mkdir(exist_ok=True)
            (place / "uploads").chmod(0o700)  # whoever made it: what clients send is nobody else's
        except OSError as error:
            got = f"cannot be made: {os_reason(error)}"
            raise StateError("no_state", str(place), got=got, do="Name another folder") from error
        with ExitStack() as held:
            settle_format(open_store(state))
            lease = DriverLease(open_store(f"{state}/{layout.SERVICE_LOCK}"), _HOLDER, wait=say)
            held.callback(lease.release)
            lock = FolderLock(place)  # second: who has the state is told by number
            held.callback(lock.release)
            service = Service(place, source, state, out, lease, lock)
            service.begin(works=works)
            held.pop_all()
        return service

    def begin(self, *, works: bool) -> None:
        """Take up the jobs that an earlier server left, and start the process that does them.

        Args:
            works: Start it.

        Raises:
            StorageError: The state cannot be written.
        """
        for job in self._jobs.unfinished():
            if job.batch and not self._jobs.has_batch(job.batch):  # killed before its client had an answer
                self._change(job, status="cancelled")
            elif job.status == "processing":
                self._change(job, status="cancelled" if job.is_unwanted else "pending", is_unwanted=None)
        self._works = works
        self._lease.on_loss = self._lose
        if works:
            self._feed.start()

    def close(self) -> None:
        """Stop: what runs is stopped as by Ctrl-C, and goes on when the service is opened again."""
        self._is_closed = True
        self.side_work.close()
        if self._works:
            self._close_feed()
        self._lease.release()
        self._lock.release()

    def _lose(self) -> None:
        if self._works:
            self._close_feed()
        self.on_loss()

    @property
    def has_state(self) -> bool:
        """False once another server has taken the state over."""
        return self._lease.held

    def _close_feed(self) -> None:
        self._feed.close(self.settings.engine.stop_s + _CLOSING_S)

    @property
    def _is_open(self) -> bool:
        return self.has_state and not self._is_closed

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of this machine that it reads and writes, of which no client is told."""
        places = (self.store.address, self.out, *self.settings.paths.roots)
        return (str(self.folder), *(place for place in places if is_local(place)))

    @property
    def uploads(self) -> Path:
        """Folder of uploaded files, which rows may always name."""
        return self.folder / "uploads"

    # What doors hand in.

    def submit(self, draft: JobDraft) -> ServiceJob:
        """Add a job; it lasts when this returns. The same request under the same key returns its first job.

        Raises:
            ManifestError: A column breaks a rule.
            InputError: The idempotency key belongs to another request.
            TransientError: The queue is full, or the service is about to stop.
            StorageError: The state cannot be written.
        """
        job = self._intake.add(draft)
        self._feed.offer([job] if job.status == "pending" else [])
        return job

    def check(self, draft: JobDraft) -> None:
        """Check a draft as `submit` does, and add nothing.

        Raises:
            ManifestError: A column breaks a rule.
        """
        self._intake.check(draft)

    def submit_many(
        self, drafts: Sequence[tuple[str, JobDraft]], *, door: str, webhook_url: str | None = None
    ) -> ServiceBatch:
        """Add several jobs as a batch: all of them, or none. Their idempotency keys do not count.

        Args:
            drafts: Each with the client's own name for it.
            door: Name of the door.
            webhook_url: Address that is told of the batch's end.

        Raises:
            ManifestError: A column of one breaks a rule.
            TransientError: The queue has no room for all, or the service is about to stop.
            StorageError: The state cannot be written.
        """
        batch, jobs = self._intake.add_many(drafts, door=door, webhook_url=webhook_url)
        self._feed.offer(jobs)
        return batch

    # What doors ask.

    def job(self, job_id: str) -> ServiceJob:
        """Return a job.

        Raises:
            InputError: There is none of that id (`unknown_job`).
            StateError: Its record was damaged.
            StorageError: The state cannot be read.
        """
        return self._jobs.get(job_id)

    def known(self, job_id: str) -> ServiceJob | None:
        """Return a job that needs no look at the state: every one that has not ended; None for others, and none."""
        return self._jobs.known(job_id)

    def find(
        self,
        statuses: Collection[JobStatus] = (),
        ids: Collection[str] = (),
        batch: str | None = None,
        limit: int | None = None,
    ) -> list[JobSummary]:
        """Return the little that is in memory of jobs, the newest first; reads nothing (`JobStore.find`)."""
        return self._jobs.find(statuses, ids, batch, limit)

    def jobs(
        self,
        statuses: Collection[JobStatus] = (),
        ids: Collection[str] = (),
        batch: str | None = None,
        limit: int | None = None,
    ) -> list[ServiceJob]:
        """Return jobs, the newest first, without those whose records were damaged; the arguments are those of `find`.

        Raises:
            StorageError: The state cannot be read.
        """
        return [*self._jobs.each(self._jobs.get, [one.id for one in self._jobs.find(statuses, ids, batch, limit)])]

    def counts(self) -> dict[JobStatus, int]:
        """Return the numbers of jobs by status."""
        return self._jobs.counts()

    def batch(self, batch_id: str) -> ServiceBatch:
        """Return a batch.

        Raises:
            InputError: There is none of that id (`unknown_batch`).
            StateError: Its record was damaged.
            StorageError: The state cannot be read.
        """
        return self._jobs.batch(batch_id)

    def batches(self) -> Iterator[ServiceBatch]:
        """Yield all batches, the newest first, without those whose records were damaged; each is read when asked for.

        Raises:
            StorageError: The state cannot be read.
        """
        return self._jobs.each(self._jobs.batch, self._jobs.batch_ids())

    def progress(self, job_id: str) -> JobProgress | None:
        """Return the progress of a job at work; None for others, and before its first frame."""
        return self._feed.progress(job_id)

    def listen(self, callback: ChangeCallback) -> Callable[[], None]:
        """Tell a function of every change from now on; the one that is returned ends that."""
        return self._listeners.add(callback)

    @property
    def is_ready(self) -> bool:
        """True while the process that does the jobs is there, and nothing keeps it from its work."""
        return not self.problem

    @property
    def driver_pid(self) -> int | None:
        """Number of the process that does the jobs; None while there is none."""
        return self._feed.pid

    @property
    def problem(self) -> str:
        """Sentence on why no job can be done now; empty while jobs can."""
        if not self.has_state:
            return "Another server took this state over."
        return self._feed.problem if self._works else ""

    # What doors change.

    def cancel(self, job_id: str) -> ServiceJob:
        """Cancel a job; one at work is ``cancelled`` once its tasks have let go of it. Cancelling twice is no error.

        Raises:
            InputError: There is none of that id, or it has ended (`job_ended`).
            StorageError: The state cannot be written.
        """
        with self._jobs.changing:
            job = self._jobs.get(job_id)
            if job.status == "cancelled":
                return job
            _refuse_ended(job)
            is_waiting = job.status == "pending"  # the wish of another lasts too, whichever process ends before it
            job = self._change(job, status="cancelled") if is_waiting else self._change(job, is_unwanted=True)
            self._feed.cancel(job_id)
            return job

    def retry(self, job_id: str, changes: JsonObject | None = None) -> ServiceJob:
        """Ask for a job once more; what can be used of its earlier attempts is.

        Args:
            job_id: Its id.
            changes: Columns that are to be otherwise; None takes one away.

        Raises:
            InputError: There is none of that id, or it has not ended (`job_unfinished`).
            ManifestError: A column breaks a rule.
            TransientError: The queue is full, or the service is about to stop.
            StorageError: The state cannot be written.
        """
        again = self._intake.again(job_id, changes or {}, self._lift_quarantine)
        self._feed.offer([again])
        return again

    def _lift_quarantine(self, job: ServiceJob) -> None:
        """Take the tasks out of quarantine by which a job failed: they would be refused."""
        if job.job_id is not None:
            quarantine.lift(self.store, job.job_id)
        if job.task is not None:  # which need not be this job's alone
            self.store.remove(layout.dead_letter(job.task))

    def prioritise(self, job_id: str, priority: int) -> ServiceJob:
        """Give a job another priority; it counts until the job is begun.

        Args:
            job_id: Its id.
            priority: Higher ones are begun first, from -1,000,000 to 1,000,000.

        Raises:
            InputError: There is none of that id, it has ended (`job_ended`), or the priority is out of bounds.
            StorageError: The state cannot be written.
        """
        check_priority(priority)
        with self._jobs.changing:
            job = self._jobs.get(job_id)
            _refuse_ended(job)
            self._feed.prioritise(job_id, priority)
            return self._change(job, priority=priority)

    def _change(self, job: ServiceJob, **changes: object) -> ServiceJob:
        changed = replace(job, changed=_now(), **changes)
        self._jobs.put(changed)
        return changed


def _now() -> float:
    return round(time.time(), 3)


def _refuse_ended(job: ServiceJob) -> None:
    if not job.is_unfinished:
        raise InputError("job_ended", job.id, got=f"is already {job.status}", do="Ask for it again to do it once more")
