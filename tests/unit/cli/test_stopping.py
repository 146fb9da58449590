"""Hearing a signal."""

from __future__ import annotations

import os
import signal
import time

import pytest

from lipwise_ray.cli.stopping import StopFlag


def test_a_signal_before_the_bars_is_shown_on_them(capsys: pytest.CaptureFixture[str]) -> None:
    """What was heard while the program loaded is said at once, and again by what shows the run."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    said: list[str] = []
    try:
        stop = StopFlag()
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        shown = ""
        while "stopping" not in shown:
            time.sleep(0.01)
            shown += capsys.readouterr().err
        assert stop()
        stop.tell_by(said.append)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert [line.partition(":")[0] for line in said] == ["stopping"]
