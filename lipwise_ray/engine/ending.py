"""Why a run ends before its rows do, and how long it then waits for what runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lipwise_ray.settings import Engine

ASKED, CANCELLED, CLOSED = "asked", "cancelled", "window"
"""Runs that end early by somebody's wish; others by the code of an error."""


@dataclass(slots=True)
class Ending:
    """When nothing more is to be begun.

    Attributes:
        stop: Whether somebody asked for a stop: running tasks then have `stop_s` to end.
        is_over: Whether the window for beginning anything has closed: running tasks have the time they need.
        stop_s: Seconds.
        clock: Monotonic seconds.
    """

    stop: Callable[[], bool] = lambda: False
    is_over: Callable[[], bool] = lambda: False
    stop_s: float = Engine().stop_s
    clock: Callable[[], float] = time.monotonic
    _asked_s: float | None = None

    def wish(self, *, cancelled: bool) -> str:
        """Return why nothing more is to be begun; empty while it may."""
        wish = CANCELLED if cancelled else ASKED if self.stop() else CLOSED if self.is_over() else ""
        if self._asked_s is None and wish in (CANCELLED, ASKED):
            self._asked_s = self.clock()
        return wish

    @property
    def is_out_of_time(self) -> bool:
        """Tell whether what runs is not waited for any longer."""
        return self._asked_s is not None and self.clock() - self._asked_s > self.stop_s
