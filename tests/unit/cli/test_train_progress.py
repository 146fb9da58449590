"""What a training run shows while it works."""

from __future__ import annotations

import io
import sys

import pytest

from lipwise_ray.cli import train_progress
from lipwise_ray.cli.train_progress import TrainBar, TrainDisplay, shown, words_of
from lipwise_ray.training.watching import RunProgress

HALF = RunProgress(500, 1000, {"loss": 0.04217, "lr": 1e-4}, 2.0, 250.0)


class _Stop:
    """A wish to stop that a test makes."""

    def __init__(self) -> None:
        self.asked = False
        self.say = print

    def __call__(self) -> bool:
        return self.asked

    def tell_by(self, say: object) -> None:
        self.say = say


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_has_step_loss_rate_and_time_left() -> None:
    """The loss comes with the first row of losses; a run at its end has no time left."""
    assert words_of(HALF) == "step 500/1000, loss 0.0422, 2.00 steps/s, about 4 min left"
    assert words_of(RunProgress(3, 1000, {}, 2.0, 50.0)) == "step 3/1000, 2.00 steps/s, about 50 s left"
    assert words_of(RunProgress(9, 9, {"loss": 1.0}, 2.0, 0.0)) == "step 9/9, loss 1.0000, 2.00 steps/s"


def test_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets one after the first seconds and then two a minute, on standard error; evaluations go to output."""
    times_s = iter((100.0, 100.1, 104.0, 105.1, 106.0, 134.0, 135.2, 140.0))
    monkeypatch.setattr(train_progress.time, "monotonic", lambda: next(times_s))
    stop = _Stop()
    display = TrainDisplay(stop)
    for _ in range(7):
        display.moved(HALF)
    display.say("step 500: l1 0.1")
    told = capsys.readouterr()
    assert told.err.splitlines() == [words_of(HALF)] * 2
    assert told.out == "step 500: l1 0.1\n"
    assert not display.stops()
    stop.asked = True
    assert display.stops()


@pytest.mark.parametrize("is_piped", [False, True])
def test_a_terminal_gets_a_bar_and_a_file_the_evaluations(*, is_piped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal all lines stand above the bar; where output goes to a file they are there, and only they."""
    terminal, output = _Terminal(), io.StringIO() if is_piped else _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", output)
    stop = _Stop()
    with shown(stop) as display:
        assert isinstance(display, TrainBar)
        display.moved(HALF)
        display.say("step 500: l1 0.1")
        stop.say("stopping")
    assert "loss 0.0422" in terminal.getvalue()
    assert "stopping" in terminal.getvalue()
    assert ("l1 0.1" in terminal.getvalue()) is not is_piped
    assert output.getvalue() == ("step 500: l1 0.1\n" if is_piped else "")
