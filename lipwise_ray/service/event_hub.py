"""Changes of jobs on their way to clients that listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress

from lipwise_ray.errors import RequestError
from lipwise_ray.service.changes import Change, JobChanged

RESYNC = "resync"
"""Said to a listener who was too slow: it has missed changes, and asks anew."""

_MOST_PENDING = 1000


class PendingChanges:
    """The changes that one client has not been sent yet, of which a later one of a job takes the place of an earlier.

    Args:
        job_id: The job that it listens to; None for all.
    """

    def __init__(self, job_id: str | None) -> None:
        self._job_id = job_id
        self._pending: dict[tuple[str, bool], Change] = {}
        self._has_missed = False
        self._is_over = False
        self._woken = asyncio.Event()

    def offer(self, change: Change) -> None:
        """Note a change; called in the loop's thread."""
        if self._job_id not in (None, change.id):
            return
        key = (change.id, isinstance(change, JobChanged))
        self._pending.pop(key, None)  # the new one comes last
        if len(self._pending) >= _MOST_PENDING:
            self._pending.clear()
            self._has_missed = True
        self._pending[key] = change
        self._woken.set()

    def end(self) -> None:
        """Have the stream end."""
        self._is_over = True
        self._woken.set()

    async def changes(self) -> AsyncGenerator[Change | None]:
        """Yield changes as they come, and None where some were missed, until the end."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._has_missed:
                self._has_missed = False
                yield None
            while self._pending:
                yield self._pending.pop(next(iter(self._pending)))
            if self._is_over:
                return


class EventHub:
    """Hands changes from the queue's threads to every listener; no listener can hold another one up, or grow.

    Args:
        most: Listeners that there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._listeners: set[PendingChanges] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unlisten: Callable[[], None] = lambda: None
        self._is_closed = False

    def open(self, listen: Callable[[Callable[[Change], object]], Callable[[], None]]) -> None:
        """Begin; called in the loop's thread.

        Args:
            listen: Adds a callback to those who are told of changes, and returns what takes it off again.
        """
        self._loop = asyncio.get_running_loop()
        self._unlisten = listen(self._take)

    def close(self) -> None:
        """End every stream; called in the loop's thread."""
        self._unlisten()
        self._is_closed = True
        for listener in [*self._listeners]:
            listener.end()

    @property
    def listeners(self) -> int:
        """Number of clients that listen."""
        return len(self._listeners)

    def check_room(self) -> None:
        """Refuse another listener where there are as many as there may be.

        Raises:
            RequestError: There are.
        """
        if len(self._listeners) >= self._most:
            happened = f"{len(self._listeners)} clients are listening already"
            raise RequestError(
                "many_listeners", "the stream", got=happened, do="Ask for the job from time to time instead"
            )

    @contextmanager
    def listening(self, job_id: str | None) -> Generator[PendingChanges]:
        """Add a listener for as long as the context lasts.

        Args:
            job_id: The job that it listens to; None for all.
        """
        listener = PendingChanges(job_id)
        self._listeners.add(listener)
        if self._is_closed:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _take(self, change: Change) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._spread, change)

    def _spread(self, change: Change) -> None:
        for listener in self._listeners:
            listener.offer(change)
