"""A job as one page watches it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from lipwise_ray.service.changes import Change, JobProgress
from lipwise_ray.service.job_record import UNFINISHED
from lipwise_ray.service.service import Service

_LOOKED_AT_S = 5.0
"""A change may have come before anybody listened."""


class JobWatch:
    """Waits for the changes of a job.

    Args:
        service: The queue.
        job_id: The job.
    """

    def __init__(self, service: Service, job_id: str) -> None:
        self._service = service
        self._id = job_id
        self._changed = threading.Event()

    def until_end(self) -> Iterator[JobProgress | None]:
        """Yield its progress with each change until it has ended; None before its first frame."""
        forget = self._service.listen(self._hear)
        try:
            while self._service.job(self._id).status in UNFINISHED:
                yield self._service.progress(self._id)
                self._changed.wait(_LOOKED_AT_S)
                self._changed.clear()
        finally:
            forget()

    def _hear(self, change: Change) -> None:
        if change.id == self._id:
            self._changed.set()
