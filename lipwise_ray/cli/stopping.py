"""Stopping a run from the terminal."""

from __future__ import annotations

import signal
from types import FrameType

import typer


class StopFlag:
    """First SIGINT or SIGTERM lets running chunks end, the second one kills."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        """Tell whether the run is to stop."""
        return self._asked

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt
        self._asked = True
        typer.echo("stopping: running chunks end first; press Ctrl-C again to stop at once", err=True)
