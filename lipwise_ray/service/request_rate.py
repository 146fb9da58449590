"""Bounds on how many requests a client sends."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 4096


class RequestRate:
    """A bucket of requests a client, which fills up again by the minute; called from one thread.

    Args:
        a_minute: Requests that a client may send a minute, and at once; 0 for any number.
        clock: Seconds, of any beginning.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, client: str) -> bool:
        """Tell whether a client may send one more, and count it."""
        if self._a_minute == 0:
            return True
        now_s = self._clock()
        left, then_s = self._left.pop(client, (float(self._a_minute), now_s))
        left = min(self._a_minute, left + (now_s - then_s) * self._a_minute / 60)
        self._left[client] = (left - 1 if left >= 1 else left, now_s)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return left >= 1
