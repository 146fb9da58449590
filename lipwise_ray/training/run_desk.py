"""The desk between a run's workers and the program that started them: lines and progress one way, a stop the other."""

from __future__ import annotations

import time
from typing import Any

from lipwise_ray.training.watching import RunProgress, TrainingResult

_TELL_EVERY_S = 0.3


class RunDesk:
    """Keeps what the first worker tells until it is fetched; an actor of Ray's, as workers may be on other machines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._progress: RunProgress | None = None
        self._result: TrainingResult | None = None
        self._is_stopping = False

    def say(self, line: str) -> None:
        """Keep a line for people."""
        self._lines.append(line)

    def moved(self, progress: RunProgress) -> bool:
        """Keep the progress; return whether the run is to end."""
        self._progress = progress
        return self._is_stopping

    def stop(self) -> None:
        """Let the run end after the step at hand."""
        self._is_stopping = True

    def end(self, result: TrainingResult) -> None:
        """Keep the end of the run."""
        self._result = result

    def news(self) -> tuple[list[str], RunProgress | None]:
        """Return the lines that were not fetched yet, and the latest progress."""
        lines, self._lines = self._lines, []
        return lines, self._progress

    def result(self) -> TrainingResult | None:
        """Return the end of the run; None before it."""
        return self._result


class DeskWatcher:
    """Watches a run in its first worker on behalf of a desk, without letting a step wait for an answer.

    Args:
        desk: Handle of the actor.
    """

    def __init__(self, desk: Any) -> None:  # noqa: ANN401  # Ray's handles have no types
        self._desk = desk
        self._asked: Any = None
        self._told_s = -_TELL_EVERY_S
        self._is_stopping = False

    def say(self, line: str) -> None:
        """Send a line."""
        self._desk.say.remote(line)

    def moved(self, progress: RunProgress) -> None:
        """Send the progress a few times a second."""
        now_s = time.monotonic()
        if self._asked is None and now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self._asked = self._desk.moved.remote(progress)

    def stops(self) -> bool:
        """Tell what the desk said last; the others of the team hear of it in the step's own exchange."""
        import ray

        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            self._is_stopping = bool(ray.get(self._asked))  # the desk does not take a stop back
            self._asked = None
        return self._is_stopping


class Unwatched:
    """Watcher of the workers beside the first, which say nothing and end when the first does."""

    def say(self, line: str) -> None:
        """Drop a line, which the first worker says too."""

    def moved(self, progress: RunProgress) -> None:
        """Drop the progress."""

    def stops(self) -> bool:
        """Go on."""
        return False
