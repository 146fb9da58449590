"""Notices that concern a whole run: each is told once, and those on its workers stay in the run's record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.listener import Listener
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, read_json, to_json


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

    def problem(self, text: str) -> None:
        """Tell of a problem, unless that was told before."""
        self._once(text, self.listener.problem)

    def _once(self, text: str, tell: Callable[[str], None]) -> None:
        if text not in self._told:
            self._told.add(text)
            tell(text)

    def fell_back(self, reported: Sequence[str]) -> None:
        """Keep the fallbacks that workers reported in the run's record, where `status` and the report find them.

        A state that refuses is asked again the next time.

        Args:
            reported: All so far, each a sentence (`Engine.fallbacks`).
        """
        if set(reported) <= set(self.fallbacks):
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
            self.problem(str(error))
