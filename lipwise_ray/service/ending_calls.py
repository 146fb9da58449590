"""From the end of a job or a batch to the call that tells a client of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final

from lipwise_ray.errors import LipwiseError
from lipwise_ray.service.changes import Change, JobChanged
from lipwise_ray.service.door import Door
from lipwise_ray.service.job_record import UNFINISHED, JobStatus
from lipwise_ray.service.service import Service
from lipwise_ray.service.webhook_record import WebhookCall
from lipwise_ray.service.webhooks import Told, Webhooks
from lipwise_ray.storage.web import Resolve

_LOG = logging.getLogger("lipwise_ray")
_ENDED: Final[tuple[JobStatus, ...]] = ("completed", "failed", "cancelled")
_BATCH = "batch-"
_MISSED, _MISSED_S = 1000, 2 * 86400.0
"""So many of the newest jobs, that ended in the last two days, are looked at after a start: their ends may have come
while nobody looked."""


class EndingCalls:
    """Watches for ends, and owes their calls.

    Args:
        service: The queue.
        doors: The doors, which know what is told.
        secret: Shared with the receivers.
        resolve: Looks names up; only public addresses without.

    Raises:
        StorageError: The state refuses.
    """

    def __init__(self, service: Service, doors: Iterable[Door], secret: str, resolve: Resolve | None = None) -> None:
        self._service = service
        self._doors: Mapping[str, Door] = {door.name: door for door in doors}
        self._webhooks = Webhooks(service.store, self._told, secret, resolve)
        self._ended: queue.SimpleQueue[JobChanged | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="endings", daemon=True)
        self._unlisten = service.listen(self._take)
        self._thread.start()

    @property
    def owed(self) -> int:
        """Number of calls that are still to be made."""
        return self._webhooks.owed

    def forget(self, keep_s: float) -> None:
        """Remove the records of calls that are long over; they stay for longer than ends are looked for."""
        self._webhooks.forget(max(keep_s, 2 * _MISSED_S))

    def close(self) -> None:
        """End; what is owed is sent after the next start."""
        self._unlisten()
        self._ended.put(None)
        self._thread.join()
        self._webhooks.close()

    def _take(self, change: Change) -> None:
        if isinstance(change, JobChanged) and change.status in _ENDED:
            self._ended.put(change)

    def _work(self) -> None:
        self._catch_up()
        while (change := self._ended.get()) is not None:
            self._note(change)

    def _catch_up(self) -> None:
        since_s = time.time() - _MISSED_S
        for summary in self._service.find(_ENDED, limit=_MISSED):
            if summary.created > since_s:
                self._note(JobChanged(summary.id, summary.status, summary.batch))

    def _note(self, change: JobChanged) -> None:
        try:
            job = self._service.job(change.id)
            if job.webhook_url is not None and not job.is_unfinished:
                self._webhooks.owe(f"{job.id}-{job.attempts}", job.id)
            if change.batch is not None and not self._service.find(UNFINISHED, batch=change.batch, limit=1):
                batch = self._service.batch(change.batch)
                if batch.webhook_url is not None:
                    self._webhooks.owe(f"{_BATCH}{batch.id}", batch.id)
        except LipwiseError as error:  # a state that is away for a while: after the next start it is looked at again
            _LOG.warning("the end of job %s is not told yet: %s", change.id, error)

    def _told(self, call: WebhookCall) -> Told | None:
        if call.id.startswith(_BATCH):
            batch = self._service.batch(call.job_id)
            door, address = self._doors.get(batch.door), batch.webhook_url
            body = None if door is None else door.told_of_batch(batch)
        else:
            job = self._service.job(call.job_id)
            if job.is_unfinished:  # it was asked for once more
                return None
            door, address = self._doors.get(job.door), job.webhook_url
            body = None if door is None else door.told_of_job(job)
        return None if body is None or address is None else Told(address, body)
