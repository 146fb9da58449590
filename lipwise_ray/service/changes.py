"""Changes of jobs, for whoever watches them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lipwise_ray.service.job_record import JobStatus

_LOG = logging.getLogger("lipwise_ray")


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job at work.

    Attributes:
        stage: Stage of its row.
        frames_done: Frames of this stage that are done.
        frames_total: Frames that this stage has; 0 where it counts none.
        eta_s: Seconds until this stage is done, by its pace so far; None where nothing tells.
    """

    stage: str
    frames_done: int
    frames_total: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job has another status, or was added."""

    id: str
    status: JobStatus
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A job at work went on."""

    id: str
    progress: JobProgress


Change: TypeAlias = JobChanged | JobProgressed
ChangeCallback: TypeAlias = Callable[[Change], object]
"""Takes changes, in the thread in which they happen: it must neither wait nor call the service."""


class ChangeListeners:
    """Those who are told of changes."""

    def __init__(self) -> None:
        self._callbacks: dict[int, ChangeCallback] = {}
        self._last = 0
        self._lock = threading.Lock()

    def add(self, callback: ChangeCallback) -> Callable[[], None]:
        """Add one; the function that is returned takes it off again, as often as it is called."""
        with self._lock:
            self._last += 1
            number = self._last
            self._callbacks[number] = callback

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(number, None)

        return remove

    def tell(self, change: Change) -> None:
        """Tell all of them; one that fails is passed over, and the log says so."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback(change)
            except Exception:  # noqa: BLE001  # a door's fault stays that door's
                _LOG.exception("a listener to changes of jobs failed")
