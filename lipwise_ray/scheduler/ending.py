"""Reasons for which a run ends before its rows do, and the time that running tasks then have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

ASKED, CANCELLED, CLOSED = "asked", "cancelled", "window"
"""Runs that end early by somebody's wish; others by the code of an error."""

NOTHING_WORKS = "nothing_works"
"""One that ends because most of its latest tasks failed, whichever job they were of."""


@dataclass(slots=True)
class Ending:
    """Conditions under which no more tasks are started.

    Attributes:
        stop_s: How long running tasks have to end once somebody asked for a stop, in seconds.
        stop: Tells whether somebody did.
        is_over: Tells whether the window for starting tasks has closed: running ones have the time they need.
        clock: Monotonic seconds.
    """

    stop_s: float
    stop: Callable[[], bool] = lambda: False
    is_over: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _asked_s: float | None = None

    def wish(self, *, cancelled: bool) -> str:
        """Return the reason why no more tasks are to be started; empty while they may be."""
        wish = CANCELLED if cancelled else ASKED if self.stop() else CLOSED if self.is_over() else ""
        if self._asked_s is None and wish in (CANCELLED, ASKED):
            self._asked_s = self.clock()
        return wish

    @property
    def is_out_of_time(self) -> bool:
        """Tell whether running tasks are not waited for any longer."""
        return self._asked_s is not None and self.clock() - self._asked_s > self.stop_s
