"""Runs of a state as the list of runs shows them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lipwise_ray.state import layout
from lipwise_ray.state.run_records import RunEnd, RunRecord
from lipwise_ray.state.shapes import typed
from lipwise_ray.state.store import Store, as_json

_MOST_KEPT = 1000
RunStatus = Literal["at work", "ended", "stopped", "damaged"]


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list.

    Attributes:
        run_id: Its name.
        record: What it was started with; None where that is damaged.
        ended: What it came to; None for one at work, or one that was killed.
    """

    run_id: str
    record: RunRecord | None
    ended: RunEnd | None

    def status(self, at_work: frozenset[str]) -> RunStatus:
        """Return its status.

        Args:
            at_work: Runs of the drivers at work.
        """
        if self.record is None:
            return "damaged"
        if self.ended is not None:
            return "ended"
        return "at work" if self.run_id in at_work else "stopped"

    @property
    def what(self) -> str:
        """Title of it: its manifest, with its shard."""
        if self.record is None:
            return ""
        verb = "evaluation of " if self.is_evaluation else ""
        shard = f", shard {self.record.shard}" if self.record.shard else ""
        return f"{verb}{self.record.manifest}{shard}"

    @property
    def is_evaluation(self) -> bool:
        """True where videos were measured, and none was dubbed."""
        return self.record is not None and self.record.request is not None and self.record.request.verb == "evaluate"

    @property
    def frames_per_s(self) -> float | None:
        """Frames a second that it rendered; None where it rendered none."""
        ended = self.ended
        return ended.frames_rendered / ended.seconds if ended and ended.frames_rendered and ended.seconds else None


class RunList:
    """The runs of a state, the newest first; those that ended are read once.

    Args:
        store: The state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, RunLine] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """Return the names of all runs, the newest first: they are named after their starts.

        Raises:
            StorageError: The state cannot be read.
        """
        return self._store.folders(layout.RUNS)[::-1]

    def lines(self, run_ids: Sequence[str]) -> list[RunLine]:
        """Return runs.

        Args:
            run_ids: Their names.

        Raises:
            StorageError: The state cannot be read.
        """
        with self._lock:
            known = {one: self._known[one] for one in run_ids if one in self._known}
        unknown = [one for one in run_ids if one not in known]
        keys = [key for one in unknown for key in (layout.run_record(one), f"{layout.run(one)}/report.json")]
        records = self._store.read_all(keys)
        for run_id, record, end in zip(unknown, records[::2], records[1::2], strict=True):
            line = RunLine(run_id, typed(as_json(record), RunRecord), typed(as_json(end), RunEnd))
            known[run_id] = line
            if line.record is not None and line.ended is not None:
                self._keep(line)
        return [known[one] for one in run_ids]

    def _keep(self, line: RunLine) -> None:
        with self._lock:
            self._known[line.run_id] = line
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
