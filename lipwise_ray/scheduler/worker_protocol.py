"""Protocol of a worker towards the engine that gives it tasks: it prepares itself, and does one task at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lipwise_ray.scheduler.task import AnyKind, Hints, TaskResult


class Capabilities(Protocol):
    """Capabilities of a worker, as it reports them when it begins."""

    @property
    def offers(self) -> frozenset[str]:
        """Names of everything it can do that tasks may need (`Task.needs`)."""
        ...

    @property
    def fallback(self) -> str:
        """Sentence on what it does on the CPU that its GPU was meant for; empty where nothing."""
        ...


class TaskRunner(Protocol):
    """Does tasks, one after another, in the process that it was made in."""

    @property
    def kinds(self) -> Mapping[str, AnyKind]:
        """The kinds of task that it does, by name."""
        ...

    @property
    def frames_done(self) -> int:
        """Frames finished since it began; another thread may ask."""
        ...

    def prepare(self, jobs: list[Any]) -> Capabilities:
        """Report the capabilities that matter to these jobs, before anything is loaded that takes long.

        Raises:
            SetupError: What its device needs is not there.
        """
        ...

    def load(self, jobs: list[Any]) -> None:
        """Load the models of these jobs.

        Raises:
            SetupError: One cannot be loaded.
        """
        ...

    def run(self, kind: AnyKind, payload: Any, hints: Hints) -> TaskResult:  # noqa: ANN401  # its kind says which
        """Do one task.

        Args:
            kind: One of `kinds`.
            payload: Of the kind's type (`TaskKind.payload`).
            hints: Facts that the driver knows of the task.
        """
        ...
