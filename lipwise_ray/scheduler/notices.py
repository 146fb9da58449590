"""Notices that concern a whole run: each is told once, and those on its workers stay in the run's record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.listener import Listener
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, read_json, to_json

_AGAIN_S = 30.0


@dataclass(slots=True)
class RunNotices:
    """Tells the listener of what concerns the run, nothing twice.

    Attributes:
        run_id: Name of the run, whose record gets the fallbacks.
        store: The state.
        listener: Is told.
        fallbacks: Those that the run's record holds.
    """

    run_id: str
    store: Store
    listener: Listener
    fallbacks: tuple[str, ...] = ()
    _told: set[str] = field(default_factory=set[str])
    _again_s: float = -math.inf

    def problem(self, text: str) -> None:
        """Tell of a problem, unless that was told before."""
        self._once(text, self.listener.problem)

    def _once(self, text: str, tell: Callable[[str], None]) -> None:
        if text not in self._told:
            self._told.add(text)
            tell(text)

    def fell_back(self, reported: Sequence[str]) -> None:
        """Keep the fallbacks that workers reported in the run's record, where `status` and the report find them.

        A state that refuses is asked again half a minute later.

        Args:
            reported: All so far, each a sentence (`Engine.fallbacks`).
        """
        if set(reported) <= set(self.fallbacks) or time.monotonic() < self._again_s:
            return
        known = tuple(dict.fromkeys([*self.fallbacks, *reported]))
        for text in known:
            self._once(text, self.listener.note)
        key = layout.run_record(self.run_id)
        try:
            record = read_json(self.store, key)
            if record is not None:
                self.store.write(key, to_json({**record, "fallbacks": known}))
            self.fallbacks = known
        except StorageError as error:
            self._again_s = time.monotonic() + _AGAIN_S  # the driver has other things to do
            self.problem(str(error))
