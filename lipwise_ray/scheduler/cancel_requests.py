"""Requests to cancel rows, or a whole run, that others leave in the state."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lipwise_ray.state import layout
from lipwise_ray.state.store import Store

_CHECK_S = 1.0


@dataclass(slots=True)
class CancelRequests:
    """Requests in the state, each of which is taken once.

    Attributes:
        place: Where they lie.
    """

    place: Store
    _checked_s: float = 0.0

    def taken(self) -> list[str | None]:
        """Take what has come: names of rows or jobs, None for the whole run; it is looked for once a second.

        Raises:
            StorageError: The state cannot be read or written.
        """
        now = time.monotonic()
        if now - self._checked_s < _CHECK_S:
            return []
        self._checked_s = now
        names: list[str | None] = []
        for key in self.place.names(layout.CONTROL):
            name = key.rsplit("/", 1)[-1].removeprefix("cancel-").removesuffix(".json")
            names.append(None if key == layout.CANCEL_RUN else name)
            self.place.remove(key)
        return names
