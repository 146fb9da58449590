"""Estimate of the time that a run still takes, by its frames."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.runs.progress_events import RowsProgress
from lipwise_ray.state.job_result import DubResult, EvaluationResult
from lipwise_ray.state.row_outcome import RowOutcome

_COUNTS = "rendering"
"""Stage whose frames are those of the output; others count frames of the source, or the same ones again."""


@dataclass(slots=True)
class RemainingTime:
    """Time that rendering still takes: frames of rows whose number is known, and of the others as many on average.

    Attributes:
        rows: Rows of the run.
    """

    rows: int
    _ended: int = 0
    _known_rows: int = 0
    _known_frames: int = 0

    def row_ended(self, outcome: RowOutcome) -> None:
        """Take note of a row that is done or failed."""
        self._ended += 1
        result = outcome.result
        if isinstance(result, DubResult | EvaluationResult):
            self._known_rows += 1
            self._known_frames += result.frames

    def seconds(self, progress: RowsProgress, frames_per_s: float) -> float | None:
        """Return the estimate, None where there is nothing to tell by.

        Args:
            progress: Rows at work.
            frames_per_s: Frames that all workers render a second.
        """
        counted = [row for row in progress.rows if row.stage == _COUNTS and row.frames_total]
        known_rows = self._known_rows + len(counted)
        if frames_per_s <= 0 or not known_rows or len(progress.rows) + self._ended > self.rows:
            return None
        mean = (self._known_frames + sum(row.frames_total for row in counted)) / known_rows
        # Rows that are past rendering are as good as done; those before it have their frames to come.
        past = sum(row.frames_rendered > 0 and row.stage != _COUNTS for row in progress.rows)
        unknown = self.rows - self._ended - len(counted) - past
        left = sum(row.frames_total - row.frames_done for row in counted) + unknown * mean
        return left / frames_per_s
