"""From the end of a job or a batch to the call that tells a client of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from lipwise_ray.errors import LipwiseError, TransientError
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
"""So many jobs, the last that ended in the last two days, are looked at after a start: their ends may have come while
nobody looked."""
_AGAIN_S = 30.0
"""Wait until an end is looked at again after the state was away."""


class EndingCalls:
    """Watches for ends, and owes their calls.

    Args:
        service: The queue.
        doors: The doors, which know what is told.
        secret: Shared with the receivers.
        resolve: Looks names up; by default only public addresses.

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
        waiting, due_s = self._missed(), time.monotonic()
        while True:
            with suppress(queue.Empty):
                change = self._ended.get(timeout=max(0.0, due_s - time.monotonic()) if waiting else None)
                if change is None:
                    return
                if not self._note(change):
                    waiting.append(change)
            if waiting and time.monotonic() >= due_s:
                waiting = [one for one in waiting if not self._note(one)]
                due_s = time.monotonic() + _AGAIN_S

    def _missed(self) -> list[JobChanged]:
        """Return the ends that may have come while nobody looked, the oldest first."""
        since_s = time.time() - _MISSED_S
        ended = [one for one in self._service.find(_ENDED) if one.changed > since_s]
        ended.sort(key=lambda one: one.changed)
        return [JobChanged(one.id, one.status, one.batch) for one in ended[-_MISSED:]]

    def _note(self, change: JobChanged) -> bool:
        """Owe the calls of an end; False where the state is away, so that it has to be looked at again."""
        try:
            job = self._service.job(change.id)
            if job.webhook_url is not None and not job.is_unfinished:
                self._webhooks.owe(f"{job.id}-{job.attempts}", job.id)
            if change.batch is not None and not self._service.find(UNFINISHED, batch=change.batch, limit=1):
                batch = self._service.batch(change.batch)
                if batch.webhook_url is not None:
                    self._webhooks.owe(f"{_BATCH}{batch.id}", batch.id)
        except TransientError as error:
            _LOG.warning("the end of job %s is not told yet: %s", change.id, error)
            return False
        except LipwiseError as error:  # a damaged record, which no wait mends
            _LOG.warning("the end of job %s is not told: %s", change.id, error)
        return True

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
