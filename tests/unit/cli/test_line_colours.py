"""Bars and colours of a run's lines on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from lipwise_ray.cli.progress import BarDisplay
from lipwise_ray.runs.progress_events import ManifestRead, RowProgress, RowsProgress
from tests.support.waiting import until

_RED, _GREEN = "\x1b[31m", "\x1b[32m"


class _Terminal(io.StringIO):
    """A terminal, of which only what is written matters."""

    def isatty(self) -> bool:
        """Return True, as terminals do."""
        return True


def _shown(monkeypatch: pytest.MonkeyPatch, *lines: str) -> str:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    display = BarDisplay(as_json=False, done="rendered")
    for line in lines:
        display.say(line)
    display.close()
    return terminal.getvalue()


def test_a_failed_row_is_red_and_a_done_one_green(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs eyes stands out; markup in names is text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = _shown(monkeypatch, "FAILED a: [bold]no[/bold]", "done   b: b.mp4", "run 1")
    assert f"{_RED}FAILED a: [bold]no[/bold]" in shown
    assert f"{_GREEN}done   b: b.mp4" in shown
    assert "\nrun 1" in shown


def test_no_color_takes_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets NO_COLOR gets plain lines."""
    monkeypatch.setenv("NO_COLOR", "1")
    shown = _shown(monkeypatch, "FAILED a: no")
    assert "FAILED a: no" in shown
    assert _RED not in shown


def test_a_row_whose_frames_are_not_counted_yet_has_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of frames is shown once it is known."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    display = BarDisplay(as_json=False, done="rendered")
    rows = (RowProgress("a", "probing", 0, 0, 0), RowProgress("b", "scanning", 2, 9, 0))
    try:
        display(ManifestRead(2))
        display.moved(RowsProgress(rows, 0))
        until(lambda: "2/9" in terminal.getvalue())
    finally:
        display.close()
    shown = terminal.getvalue()
    assert "0/?" in shown
    assert "None" not in shown
