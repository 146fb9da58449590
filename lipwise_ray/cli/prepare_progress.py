"""Showing how the preparing of footage goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.cli.terminal import raw_of, shows_bars
from lipwise_ray.cli.time_left import in_words
from lipwise_ray.errors import InputError
from lipwise_ray.printable import printable

if TYPE_CHECKING:
    from lipwise_ray.training.footage import Clip
    from lipwise_ray.training.preparing import Prepared

_PLAIN_EVERY_S = 5.0
_LEAST_SHARE = 0.02
"""Of the footage must be done before the rest can be estimated."""


class PrepareProgress:
    """Counts of videos and clips, shown as plain lines on standard error.

    Args:
        clips: All videos.
    """

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._bytes = {clip.name: _size(clip) for clip in clips}
        self._total = len(clips)
        self._done_bytes = 0
        self._begun_s = self._spoke_s = time.monotonic()
        self.videos = self.clips = self.frames = self.skipped = 0

    @property
    def left(self) -> int:
        """Videos that are not prepared."""
        return self._total - self.videos

    def ended(self, clip: Clip, result: Prepared) -> None:
        """Count a video whose preparing has ended, and say what was left out of it and why."""
        faces = () if isinstance(result, InputError) else result
        kept = [one for one in faces if one.refused is None]
        refused = [str(one.refused) for one in faces if one.refused]
        if isinstance(result, InputError):
            refused = [f"{clip.name}: {result}"]
        self.videos += 1
        self.clips += len(kept)
        self.frames += sum(one.face.frames for one in kept)
        self.skipped += len(refused)
        self._done_bytes += self._bytes[clip.name]
        for reason in refused:
            self.say(f"skipped {reason.encode('utf-8', 'backslashreplace').decode()}")
        self.moved()

    def line(self) -> str:
        """Return the counts and the time left in words."""
        share = self._done_bytes / max(1, sum(self._bytes.values()))
        passed_s = time.monotonic() - self._begun_s
        left = f", {in_words(passed_s * (1 - share) / share)}" if self.left and share >= _LEAST_SHARE else ""
        return f"{self.videos}/{self._total} videos, {self.clips} clips, {self.skipped} skipped{left}"

    def say(self, text: str) -> None:
        """Print a line for people."""
        typer.echo(printable(text), err=True)

    def moved(self) -> None:
        """Print a plain line every few seconds."""
        if time.monotonic() - self._spoke_s >= _PLAIN_EVERY_S:
            self._spoke_s = time.monotonic()
            self.say(self.line())

    def close(self) -> None:
        """Leave the terminal as it was."""


class PrepareBar(PrepareProgress):
    """The same as a bar on a terminal.

    Args:
        clips: All videos.
    """

    def __init__(self, clips: Sequence[Clip]) -> None:
        super().__init__(clips)
        columns = (BarColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=Console(file=raw_of(sys.stderr)), transient=True)
        self._task = self._bar.add_task(self.line(), total=max(1, sum(self._bytes.values())))
        self._bar.start()

    def say(self, text: str) -> None:
        """Print above the bar."""
        self._bar.console.print(Text(printable(text)), soft_wrap=True)

    def moved(self) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=self._done_bytes, description=self.line())

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


@contextmanager
def shown(clips: Sequence[Clip], stop: StopFlag) -> Generator[PrepareProgress]:
    """Show the preparing of videos in the way that fits where standard error goes, and a stop that is asked for.

    Args:
        clips: All videos.
        stop: Tells the display of a stop.
    """
    display = (PrepareBar if shows_bars() else PrepareProgress)(clips)
    stop.tell_by(display.say)
    try:
        yield display
    finally:
        display.close()


def _size(clip: Clip) -> int:
    try:
        return max(1, clip.path.stat().st_size)
    except OSError:
        return 1
