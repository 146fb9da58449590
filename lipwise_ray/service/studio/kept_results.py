"""Results of slow work, made in a thread aside and kept."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lipwise_ray.errors import LipwiseError

Result = TypeVar("Result")
_FRESH_S = 2.0
_REST = 10
"""Times as long as it took until one that may change is made again: that never takes more than a tenth of a CPU."""


@dataclass(slots=True)
class _KeptEntry(Generic[Result]):
    """A result, and the work that makes it or a newer one."""

    work: Future[Result] = field(default_factory=Future[Result])
    latest: Result | None = None
    is_final: bool = False
    made_s: float = 0.0
    took_s: float = 0.0

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is to be made again."""
        return self.work.done() and not self.is_final and now_s - self.made_s > max(_FRESH_S, _REST * self.took_s)


class KeptResults(Generic[Result]):
    """Results by name; one at a time is made, in a thread that nobody waits for when the program ends.

    Args:
        make: Makes the result of a name.
        is_final: Tells that a result will not change.
        most: So many are kept, those that were asked for last.
    """

    def __init__(self, make: Callable[[str], Result], is_final: Callable[[Result], bool], most: int) -> None:
        self._make = make
        self._is_final = is_final
        self._most = most
        self._entries: OrderedDict[str, _KeptEntry[Result]] = OrderedDict()
        self._waiting: deque[tuple[str, _KeptEntry[Result]]] = deque()
        self._lock = threading.Lock()
        self._is_working = False

    def get(self, name: str, wait_s: float = 0.0) -> Result | None:
        """Return a result, an older one while a newer one is made; None while the first one is.

        Args:
            name: Its name.
            wait_s: So long one that is being made is waited for.

        Raises:
            LipwiseError: It could not be made.
        """
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.is_due(time.monotonic()):
                entry = self._entries.setdefault(name, _KeptEntry())
                entry.work = Future()
                self._waiting.append((name, entry))
                self._begin()
            self._entries.move_to_end(name)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
            work = entry.work
        try:
            return work.result(wait_s)
        except TimeoutError:
            return entry.latest

    def _begin(self) -> None:
        if not self._is_working:
            self._is_working = True
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            while (next_one := self._next()) is not None:
                self._finish(*next_one)
        finally:  # also after a fault, which ends this thread
            with self._lock:
                self._is_working = False
                if self._waiting:
                    self._begin()

    def _next(self) -> tuple[str, _KeptEntry[Result]] | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def _finish(self, name: str, entry: _KeptEntry[Result]) -> None:
        begun_s, work = time.monotonic(), entry.work
        problem: BaseException = RuntimeError(f"the thread that made {name} met a fault of its own")
        try:
            entry.latest = self._make(name)
            entry.is_final = self._is_final(entry.latest)
        except LipwiseError as error:
            problem, entry.latest = error, None
        finally:  # whatever it was, those who wait are told
            entry.made_s = time.monotonic()
            entry.took_s = entry.made_s - begun_s
            if entry.latest is not None:
                work.set_result(entry.latest)
            else:
                work.set_exception(problem)
