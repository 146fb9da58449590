"""Watching a training run from outside: its lines, how far it has come, the wish that it ends, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress of a run.

    Attributes:
        step: Steps that are done.
        steps: The run's last step.
        losses: Means of the latest losses that were written, by name; empty before the first.
        rate: Steps a second since the run began or went on, evaluations included.
        left_s: Time in seconds until the last step or the time limit, at that rate.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    left_s: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """End of a run.

    Attributes:
        step: Steps that are done.
        metrics: Numbers of the last evaluation.
        best_step: Step of the best checkpoint.
        interrupted: It was stopped early.
    """

    step: int
    metrics: dict[str, float]
    best_step: int
    interrupted: bool


class RunWatcher(Protocol):
    """Role of whoever watches a run."""

    def say(self, line: str) -> None:
        """Take a line for people."""
        ...

    def moved(self, progress: RunProgress) -> None:
        """Take note of a step that is done; called after each, so it must be quick."""
        ...

    def stops(self) -> bool:
        """Tell whether the run is to save and to end; asked after each step."""
        ...
