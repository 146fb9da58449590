"""Listeners to the events of a run."""

from __future__ import annotations

from typing import Protocol

from lipwise_ray.scheduler.flow import Flow
from lipwise_ray.state.row_outcome import RowOutcome


class Listener(Protocol):
    """Shows a run to people. Called from the driver's only thread."""

    def run_started(self, run_id: str, engine: str) -> None:
        """The engine is there; its workers are about to load their models.

        Args:
            run_id: Name of the run in the state.
            engine: One line for people (`Engine.description`).
        """
        ...

    def note(self, text: str) -> None:
        """A note to the user: the terms of checkpoints before the run begins, a worker that fell back later."""
        ...

    def problem(self, text: str) -> None:
        """Something that concerns the whole run."""
        ...

    def row_started(self, row: int, row_id: str) -> None:
        """A row's first task was queued.

        Args:
            row: Line of the row in its manifest.
            row_id: Its name there.
        """
        ...

    def row_ended(self, outcome: RowOutcome) -> None:
        """A row is done or failed."""
        ...

    def tick(self, rows: list[tuple[str, Flow, int]], loading: int) -> None:
        """Called about twice a second with the progress of the running rows.

        Args:
            rows: Of each running row its name, its flow, and the frames that workers finished in tasks still in flight,
                which its `Flow.progress` does not count yet.
            loading: Workers that fetch and load their models.
        """
        ...
