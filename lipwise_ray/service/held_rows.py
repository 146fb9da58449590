"""Rows that a driver could not take in for the machine's faults: they wait, and are tried again ever more rarely."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from lipwise_ray.errors import SetupError, TransientError, ran_out_of_memory
from lipwise_ray.service.wire import AddRow

_LOG = logging.getLogger("lipwise_ray")
_LEAST_PAUSE_S, _MOST_PAUSE_S = 2.0, 60.0


class HeldRows:
    """Takes rows in, and holds those that cannot be taken now. Its methods may be called from any thread.

    Args:
        take: Takes a row in.
        refuse: Is told of a row that never can be taken in, and why.
        tell: Is told of the problem for which rows are held, as often as it changes; empty once none are.
    """

    def __init__(
        self,
        take: Callable[[AddRow], None],
        refuse: Callable[[AddRow, Exception], None],
        tell: Callable[[str], None],
    ) -> None:
        self._take = take
        self._refuse = refuse
        self._tell = tell
        self._changed = threading.Condition()
        self._held: dict[str, AddRow] = {}
        self._problem = ""
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def offer(self, message: AddRow) -> None:
        """Take a row in, now or later."""
        with self._changed:
            self._try(message)
            if self._held and self._thread is None:
                self._thread = threading.Thread(target=self._keep_trying, name="held-rows", daemon=True)
                self._thread.start()

    def cancel(self, row_id: str) -> AddRow | None:
        """Return a row that was held and is gone now; None for another."""
        with self._changed:
            message = self._held.pop(row_id, None)
            if not self._held:
                self._note("")
            return message

    def prioritise(self, row_id: str, priority: int) -> None:
        """Give a row that is held another priority."""
        with self._changed:
            if row_id in self._held:
                self._held[row_id] = replace(self._held[row_id], priority=priority)

    def close(self) -> None:
        """Try nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def try_again(self) -> None:
        """Try all that are held, now."""
        with self._changed:
            for message in [*self._held.values()]:
                self._try(message)
            self._note("" if not self._held else self._problem)

    def _try(self, message: AddRow) -> None:
        try:
            self._take(message)
        except Exception as error:  # noqa: BLE001  # whatever it is, other rows are to be heard
            if _passes(error):
                self._held[message.id] = message
                self._note(f"Jobs wait, for they cannot be taken up: {error}")
                return
            self._refuse(message, error)
        self._held.pop(message.id, None)

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                _LOG.error("%s", problem)
            self._tell(problem)

    def _keep_trying(self) -> None:
        pause_s = _LEAST_PAUSE_S
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closed, pause_s):
                    return
                self.try_again()
                if not self._held:
                    self._thread = None
                    return
            pause_s = min(_MOST_PAUSE_S, 2 * pause_s)


def _passes(error: Exception) -> bool:
    """Tell whether an error is of the machine or its stores, so that another attempt may succeed."""
    return isinstance(error, TransientError | SetupError | OSError) or ran_out_of_memory(error)
