"""Progress of a dub as one line that is written over."""

from __future__ import annotations

import sys
from typing import TextIO

from lipwise_ray.runs.progress_events import Event, RowEnded, RowsProgress

_WIDTH = 60


class ProgressLine:
    """Takes the events of a dub, and writes how far it is.

    Args:
        out: Takes the line; None for the cell's output.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, RowsProgress):
            texts = [f"{row.stage}: {row.frames_done} of {row.frames_total or '?'} frames" for row in event.rows]
            self._write(texts[0] if texts else "loading the networks", "")
        elif isinstance(event, RowEnded):
            self._write(event.outcome.status, "\n")

    def _write(self, text: str, end: str) -> None:
        self._out.write(f"\r{text:{_WIDTH}}{end}")
        self._out.flush()
