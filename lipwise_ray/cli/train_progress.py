"""Showing how a training run goes on: a bar on a terminal, plain lines elsewhere; and hearing that it is to end."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.cli.terminal import raw_of, shows_bars
from lipwise_ray.cli.time_left import in_words
from lipwise_ray.printable import printable

if TYPE_CHECKING:
    from lipwise_ray.training.watching import RunProgress

_PLAIN_EVERY_S = 30.0
"""A run takes hours, and its log is read."""

_FIRST_S = 5.0
_BAR_EVERY_S = 0.1


class TrainDisplay:
    """Watches a run: plain lines on standard error, evaluations on standard output.

    Args:
        stop: Tells whether the run is to end.
    """

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._next_s = time.monotonic() + _FIRST_S

    def say(self, line: str) -> None:
        """Print an evaluation or a note."""
        typer.echo(line)

    def note(self, line: str) -> None:
        """Print a line about the program itself."""
        typer.echo(line, err=True)

    def moved(self, progress: RunProgress) -> None:
        """Print a plain line now and then."""
        if self._is_due(_PLAIN_EVERY_S):
            self.note(words_of(progress))

    def stops(self) -> bool:
        """Tell whether somebody wants the run to end."""
        return self._stop()

    def close(self) -> None:
        """Leave the terminal as it was."""

    def _is_due(self, every_s: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + every_s
        return True


class TrainBar(TrainDisplay):
    """The same as a bar on a terminal.

    Args:
        stop: Tells whether the run is to end.
    """

    def __init__(self, stop: StopFlag) -> None:
        super().__init__(stop)
        self._next_s = 0.0
        columns = (BarColumn(), TextColumn("{task.description}", markup=False))
        # Standard output stays what it is: it may go to a file.
        self._bar = Progress(*columns, console=Console(file=raw_of(sys.stderr)), transient=True, redirect_stdout=False)
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Print above the bar, or where standard output goes."""
        if sys.stdout.isatty():
            self.note(line)
        else:
            super().say(line)

    def note(self, line: str) -> None:
        """Print above the bar."""
        self._bar.console.print(Text(printable(line)), soft_wrap=True)

    def moved(self, progress: RunProgress) -> None:
        """Move the bar."""
        if not self._is_due(_BAR_EVERY_S):
            return
        words = words_of(progress)
        if self._task is None:
            self._task = self._bar.add_task(words, total=progress.steps)
            self._bar.start()
        self._bar.update(self._task, completed=progress.step, description=words)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def words_of(progress: RunProgress) -> str:
    """Return a run's progress on one line."""
    loss = f", loss {progress.losses['loss']:.4f}" if "loss" in progress.losses else ""
    left = f", {in_words(progress.left_s)}" if progress.step < progress.steps else ""
    return f"step {progress.step}/{progress.steps}{loss}, {progress.rate:.2f} steps/s{left}"


@contextmanager
def shown(stop: StopFlag) -> Generator[TrainDisplay]:
    """Show a run in the way that fits where standard error goes, and a stop that is asked for.

    Args:
        stop: Tells the display of a stop.
    """
    display = (TrainBar if shows_bars() else TrainDisplay)(stop)
    stop.tell_by(display.note)
    try:
        yield display
    finally:
        display.close()
