"""The jobs of a service, in its state: all are known by heart, those that have ended are read when they are wanted."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from pydantic import ConfigDict

from lipwise_ray.errors import InputError, StateError, TransientError
from lipwise_ray.service.changes import Change, JobChanged
from lipwise_ray.service.job_record import JobStatus, ServiceBatch, ServiceJob
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import STRICT, Id, Sha256, read_typed, record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json

_LOG = logging.getLogger("lipwise_ray")
_READ_AT_A_TIME = 256
_TIME_DIGITS = 14
Read = TypeVar("Read")
_MOST_KEPT = 512
"""Records of jobs that have ended, in memory."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """The little of a job that is always in memory."""

    id: str
    status: JobStatus
    created: float
    changed: float
    name: str
    batch: str | None


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """Record of a request with a key of the client's.

    Attributes:
        job_id: The job that it made.
        request: Hash of what was asked for.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    job_id: Id
    request: Sha256


class JobStore:
    """Jobs and batches; only one process writes them. Its methods may be called from any thread.

    Records keep the signatures of addresses, without which nobody could read what they name.

    Args:
        store: The state.
        tell: Is told of each job that is added, or has another status.
        is_ours: Tells whether this process may write them still.

    Attributes:
        changing: Held by whoever changes a job, from reading it to writing it.

    Raises:
        StorageError: The state cannot be read.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[Change], None] = lambda _: None,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._tell = tell
        self._is_ours = is_ours
        self.changing = threading.RLock()
        self._lock = threading.RLock()
        self._summaries: dict[str, JobSummary] = {}
        """Of all jobs, the oldest first."""
        self._unfinished: dict[str, ServiceJob] = {}
        self._kept: OrderedDict[str, ServiceJob] = OrderedDict()
        self._last_number = 0
        self._batches = {key.rpartition("/")[2].removesuffix(".json") for key in store.names(layout.SERVICE_BATCHES)}
        self._last_us = max(map(_microseconds_of, self._batches), default=0)
        keys = store.names(layout.SERVICE_JOBS)
        for first in range(0, len(keys), _READ_AT_A_TIME):
            several = keys[first : first + _READ_AT_A_TIME]
            for key, data in zip(several, store.read_all(several), strict=True):
                job = typed(as_json(data), ServiceJob)
                if job is None:
                    _LOG.warning("%s/%s: damaged, so this job is passed over", store.address, key)
                else:
                    self._note(job)

    def new_id(self) -> str:
        """Return an id that nobody can guess, and that sorts after all ids before it."""
        with self._lock:
            self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
            return f"{self._last_us:0{_TIME_DIGITS}x}{secrets.token_hex(8)}"

    def new_number(self) -> int:
        """Return a number for a row that no other row of these jobs has: tasks and their dead letters may go by it."""
        with self._lock:
            self._last_number += 1
            return self._last_number

    def put(self, job: ServiceJob) -> None:
        """Write a job; it lasts when this returns.

        Raises:
            TransientError: Another process writes them now.
            StorageError: The state cannot be written.
        """
        self._check_ours()
        self._store.write(layout.service_job(job.id), to_json(record_of(job), keeps_secrets=True))
        with self._lock:
            before = self._summaries.get(job.id)
            self._note(job)
        if before is None or before.status != job.status:
            self._tell(JobChanged(job.id, job.status, job.batch))

    def _check_ours(self) -> None:
        if not self._is_ours():
            got = "another server has taken over the state of this one"
            raise TransientError("closing", "", got=got, do="Ask again in a while")

    def _note(self, job: ServiceJob) -> None:
        self._last_us = max(self._last_us, _microseconds_of(job.id))  # the clock may have been set back since
        self._last_number = max(self._last_number, job.number)
        self._summaries[job.id] = JobSummary(job.id, job.status, job.created, job.changed, job.name, job.batch)
        if job.is_unfinished:
            self._unfinished[job.id] = job
            self._kept.pop(job.id, None)
            return
        self._unfinished.pop(job.id, None)
        self._keep(job)

    def _keep(self, job: ServiceJob) -> None:
        self._kept[job.id] = job
        self._kept.move_to_end(job.id)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def known(self, job_id: str) -> ServiceJob | None:
        """Return a job whose record is in memory; None for another, and where there is none."""
        with self._lock:
            return self._unfinished.get(job_id) or self._kept.get(job_id)

    def get(self, job_id: str) -> ServiceJob:
        """Return a job.

        Raises:
            InputError: There is none of that id.
            StateError: Its record was damaged.
            StorageError: The state cannot be read.
        """
        known = self.known(job_id)
        if known is not None:
            return known
        if job_id not in self:
            raise InputError("unknown_job", job_id[:80], got="no job has this id", do="Check the id")
        job = read_typed(self._store, layout.service_job(job_id), ServiceJob)
        if job is None:
            raise StateError("damaged_job", job_id, got="the record of this job is gone or damaged")
        with self._lock:
            if self._summaries[job_id].status == job.status:  # else somebody has just changed it
                self._keep(job)
        return job

    def find(
        self,
        statuses: Collection[JobStatus] = (),
        ids: Collection[str] = (),
        batch: str | None = None,
        limit: int | None = None,
    ) -> list[JobSummary]:
        """Return jobs, the newest first.

        Args:
            statuses: Those that count; none for all.
            ids: Jobs that count; none for all. Unknown ones are passed over.
            batch: Id of the batch that they are part of; None for any or none.
            limit: The most that are returned; None for all.
        """
        with self._lock:
            among = (self._summaries[one] for one in sorted({*ids}, reverse=True) if one in self._summaries)
            every = reversed(self._summaries.values())
            found: list[JobSummary] = []
            for job in among if ids else every:
                if limit is not None and len(found) >= limit:
                    break
                if (not statuses or job.status in statuses) and batch in (None, job.batch):
                    found.append(job)
            return found

    def unfinished(self) -> list[ServiceJob]:
        """Return the jobs that wait or are worked on, the oldest first."""
        with self._lock:
            return sorted(self._unfinished.values(), key=lambda job: job.id)

    @property
    def unfinished_total(self) -> int:
        """Number of jobs that wait or are worked on."""
        return len(self._unfinished)

    def counts(self) -> dict[JobStatus, int]:
        """Return the numbers of jobs by status."""
        with self._lock:
            counts = Counter(job.status for job in self._summaries.values())
        return {status: counts[status] for status in ("pending", "processing", "completed", "failed", "cancelled")}

    def claim(self, key: str, request: str, job_id: str) -> str:
        """Return the id of the job that belongs to a client's key: this one, or the one that the key made before.

        Args:
            key: The key, which no other door shares.
            request: What is asked for, as text.
            job_id: Id of the job that would be made.

        Raises:
            InputError: The key belongs to another request.
            StateError: The record of that is damaged.
            StorageError: The state cannot be written.
        """
        place = layout.service_request(hashlib.sha256(key.encode()).hexdigest())
        mine = KeyedRequest(job_id, hashlib.sha256(request.encode()).hexdigest())
        if self._store.create(place, to_json(record_of(mine))):
            return job_id
        known = read_typed(self._store, place, KeyedRequest)
        if known is None:
            raise StateError("damaged_job", place, got="the record of an idempotency key is damaged", do="Use another")
        if known.request != mine.request:
            do = "Take a new key for a new request"
            raise InputError("idempotency", "", got="the idempotency key belongs to another request", do=do)
        return known.job_id

    def __contains__(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._summaries

    def put_batch(self, batch: ServiceBatch) -> None:
        """Write a batch; it lasts when this returns.

        Raises:
            TransientError: Another process writes them now.
            StorageError: The state cannot be written.
        """
        self._check_ours()
        self._store.write(layout.service_batch(batch.id), to_json(record_of(batch), keeps_secrets=True))
        with self._lock:
            self._batches.add(batch.id)

    def batch(self, batch_id: str) -> ServiceBatch:
        """Return a batch.

        Raises:
            InputError: There is none of that id.
            StateError: Its record was damaged.
            StorageError: The state cannot be read.
        """
        if not self.has_batch(batch_id):
            raise InputError("unknown_batch", batch_id[:80], got="no batch has this id", do="Check the id")
        batch = read_typed(self._store, layout.service_batch(batch_id), ServiceBatch)
        if batch is None:
            raise StateError("damaged_job", batch_id, got="the record of this batch is gone or damaged")
        return batch

    def each(self, read: Callable[[str], Read], ids: Iterable[str]) -> Iterator[Read]:
        """Yield records of these ids; one that was damaged is passed over, for it says nothing of the others.

        Args:
            read: Reads one: `get`, or `batch`.
            ids: Their ids.

        Raises:
            StorageError: The state cannot be read.
        """
        for one in ids:
            try:
                yield read(one)
            except StateError as error:
                _LOG.warning("%s", error)

    def has_batch(self, batch_id: str) -> bool:
        """Tell whether there is such a batch."""
        with self._lock:
            return batch_id in self._batches

    def batch_ids(self) -> list[str]:
        """Return the ids of all batches, the newest first."""
        with self._lock:
            return sorted(self._batches, reverse=True)


def _microseconds_of(job_id: str) -> int:
    """Return the time in an id; 0 for one that `JobStore.new_id` did not make."""
    try:
        return int(job_id[:_TIME_DIGITS], 16)
    except ValueError:
        return 0
