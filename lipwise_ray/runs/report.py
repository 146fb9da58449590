"""Outcome of a run, for its caller."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from lipwise_ray.exit_codes import ExitCode, of_rows
from lipwise_ray.state import layout
from lipwise_ray.state.done_rows import reused_outcomes
from lipwise_ray.state.row_outcome import RowOutcome, outcome_in
from lipwise_ray.state.store import as_json, open_store


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of a run.

    Attributes:
        run_id: Name of the run in the state.
        done, failed, left: Rows; those left had not ended when the run did.
        seconds: From its start to its end.
        frames: Frames that it rendered.
        chunks_rendered, chunks_reused: Chunks that it rendered, and those that were there before.
    """

    run_id: str
    done: int
    failed: int
    left: int
    seconds: float
    frames: int
    chunks_rendered: int
    chunks_reused: int
    stopped: str = field(default="", kw_only=True)
    """Reason for which it ended before its rows did (`Run.stopped`); empty where it did not."""
    out: str = field(default="", kw_only=True)
    """Address of the outputs."""
    state: str = field(default="", kw_only=True)
    """Address of the state, with the run's records."""
    page: str = field(default="", kw_only=True)
    """Its report (HTML); empty where none was written."""
    fallbacks: tuple[str, ...] = field(default=(), kw_only=True)
    """Sentences on GPU workers that did on the CPU what their GPU was meant for."""

    @property
    def rows(self) -> Iterator[RowOutcome]:
        """Outcomes of its rows, in the manifest's order, read from the state.

        Raises:
            StorageError: The state cannot be read.
        """
        store = open_store(self.state)
        records = store.read_all(sorted(store.names(layout.rows(self.run_id))))
        recorded = (outcome for data in records if (outcome := outcome_in(as_json(data))) is not None)
        yield from heapq.merge(recorded, reused_outcomes(store, self.run_id), key=attrgetter("row"))

    @property
    def exit_code(self) -> int:
        """Exit code of the command where no row may fail."""
        return self.code_above(0.0)

    def code_above(self, fail_above: float) -> ExitCode:
        """Return the exit code of a command of whose rows a fraction may fail."""
        return of_rows(failed=self.failed, done=self.done, left=self.left, fail_above=fail_above)
