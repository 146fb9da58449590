"""The intake of a service: what doors hand in becomes jobs that last."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from lipwise_ray.errors import InputError, RequestError, StorageError, TransientError
from lipwise_ray.service.job_record import BatchItem, JobDraft, JsonObject, ServiceBatch, ServiceJob
from lipwise_ray.service.job_store import JobStore
from lipwise_ray.service.row_reader import RowReader
from lipwise_ray.state.shapes import record_of, typed
from lipwise_ray.state.store import as_json, to_json

_OUTCOME = (
    *("run_id", "job_id", "output", "duration_s"),
    *("code", "message", "task", "stage", "blame", "verdict", "reasons"),
)


class JobIntake:
    """Checks drafts, and writes jobs down, one thread at a time.

    Args:
        jobs: The jobs.
        reader: Reads their rows.
        most: Jobs that may wait or be worked on.
        is_open: Tells whether the service takes jobs now.
    """

    def __init__(self, jobs: JobStore, reader: RowReader, most: int, is_open: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._reader = reader
        self._most = most
        self._is_open = is_open
        self._adding = threading.Lock()
        self._half: list[str] = []
        """Jobs of batches that have no record."""

    def check(self, draft: JobDraft) -> None:
        """Check a draft as `add` does, and add nothing.

        Raises:
            ManifestError: A column breaks a rule.
        """
        self._reader.row(self._reader.columns_of(draft, self._jobs.new_id()))

    def add(self, draft: JobDraft) -> ServiceJob:
        """Add a job; a request that is known by its key returns its first job.

        Raises:
            ManifestError: A column breaks a rule.
            InputError: The idempotency key belongs to another request.
            TransientError: The queue is full, or the service is about to stop.
            StorageError: The state cannot be written.
        """
        job_id = self._jobs.new_id()
        self._reader.row(self._reader.columns_of(draft, job_id))
        with self._adding:
            if draft.idempotency_key is not None:
                key = f"{draft.door}\n{draft.idempotency_key}"
                job_id = self._jobs.claim(key, _fingerprint(draft), job_id)
                if job_id in self._jobs:
                    return self._jobs.get(job_id)
            self._check_room(1)  # the key of one that is refused here makes it later
            job = self._job_of(draft, job_id, None)
            self._jobs.put(job)
        return job

    def add_many(
        self, drafts: Sequence[tuple[str, JobDraft]], *, door: str, webhook_url: str | None
    ) -> tuple[ServiceBatch, list[ServiceJob]]:
        """Add a batch; the arguments and errors are those of `Service.submit_many`."""
        batch_id = self._jobs.new_id()
        job_ids = [self._jobs.new_id() for _ in drafts]
        for job_id, (_, draft) in zip(job_ids, drafts, strict=True):
            self._reader.row(self._reader.columns_of(draft, job_id))
        items = tuple(BatchItem(name, job_id) for job_id, (name, _) in zip(job_ids, drafts, strict=True))
        batch = ServiceBatch(id=batch_id, created=_now(), door=door, items=items, webhook_url=webhook_url)
        with self._adding:
            self._check_room(len(drafts))
            jobs = [self._job_of(draft, job_id, batch_id) for job_id, (_, draft) in zip(job_ids, drafts, strict=True)]
            try:
                for job in jobs:
                    self._jobs.put(job)
                self._jobs.put_batch(batch)  # last: without it none of them counts
            except StorageError:
                self._half.extend(job_id for job_id in job_ids if job_id in self._jobs)
                self._drop_half()
                raise
        return batch, jobs

    def _drop_half(self) -> None:
        """Cancel the jobs of batches that could not be written to their ends: their clients ask once more."""
        with self._jobs.changing, suppress(StorageError):  # then later; until then nobody begins them
            while self._half:
                job = self._jobs.get(self._half[-1])
                if job.is_unfinished:
                    self._jobs.put(replace(job, status="cancelled", changed=_now()))
                self._half.pop()

    def again(self, job_id: str, changes: JsonObject, clear: Callable[[ServiceJob], None]) -> ServiceJob:
        """Let a job that has ended wait once more; return it as it is then.

        Args:
            job_id: Its id.
            changes: Columns that are to be otherwise; None takes one away.
            clear: Takes the job as it was, before anything is written: takes away what would make it fail again.

        Raises:
            InputError: There is none of that id, or it has not ended (`job_unfinished`).
            ManifestError: A column breaks a rule.
            TransientError: The queue is full, or the service is about to stop.
            StorageError: The state cannot be written.
        """
        with self._adding, self._jobs.changing:
            job = self._jobs.get(job_id)
            if job.is_unfinished:
                raise InputError("job_unfinished", job_id, got=f"is still {job.status}", do="Cancel it, or wait")
            columns: JsonObject = {**job.columns, **changes}
            columns = {name: value for name, value in columns.items() if value is not None}
            columns |= {name: job.columns[name] for name in ("id", "output")}
            self._reader.row(columns)
            self._check_room(1)
            again = replace(
                job,
                status="pending",
                changed=_now(),
                columns=columns,
                number=self._jobs.new_number(),
                attempts=job.attempts + 1,
                **dict.fromkeys(_OUTCOME),
            )
            _check_record(again)
            clear(job)
            self._jobs.put(again)
        return again

    def _job_of(self, draft: JobDraft, job_id: str, batch: str | None) -> ServiceJob:
        now = _now()
        job = ServiceJob(
            id=job_id,
            created=now,
            changed=now,
            status="pending",
            columns=self._reader.columns_of(draft, job_id),
            door=draft.door,
            name=draft.name,
            number=self._jobs.new_number(),
            priority=draft.priority,
            asked=draft.asked,
            webhook_url=draft.webhook_url,
            idempotency_key=draft.idempotency_key,
            batch=batch,
        )
        _check_record(job)
        return job

    def _check_room(self, wanted: int) -> None:
        self._drop_half()
        if not self._is_open():
            raise TransientError("closing", "", got="this server is about to stop", do="Ask again in a while")
        unfinished = self._jobs.unfinished_total
        if unfinished + wanted > self._most:
            got = f"the queue has no room for {wanted} more: {unfinished} of {self._most} jobs wait or run"
            raise TransientError("queue_full", "", got=got, do="Ask again when some have ended")


def _now() -> float:
    return round(time.time(), 3)


def _check_record(job: ServiceJob) -> None:
    """Refuse a job whose record the next server could not read: to that one it would be lost.

    Raises:
        RequestError: It could not.
    """
    if typed(as_json(to_json(record_of(job), keeps_secrets=True)), ServiceJob) is None:
        raise RequestError("invalid_request", "", got="a value is out of bounds, or nested too deeply")


def _fingerprint(draft: JobDraft) -> str:
    """Return a text by which a request is known as the same."""
    if draft.fingerprint is not None:
        return draft.fingerprint
    return json.dumps(draft.columns if draft.asked is None else draft.asked, sort_keys=True)
