"""Hearing a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lipwise_ray.cli.stopping import StopFlag

_HEARS = """
import os, signal, sys
from lipwise_ray.cli.stopping import StopFlag
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have it ignored
stop = StopFlag()
for number in map(int, sys.argv[1:]):
    os.kill(os.getpid(), number)
    assert stop(), number
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield StopFlag()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("order", [(signal.SIGHUP, signal.SIGTERM), (signal.SIGTERM, signal.SIGHUP)])
def test_a_terminal_that_closes_is_no_second_signal(order: tuple[signal.Signals, ...]) -> None:
    """A machine that goes down sends both, in any order: what runs ends in order. Another one ends the program."""
    # In a process and a session of its own: after the last one a signal has its default effect, which is to end it.
    words = [sys.executable, "-c", _HEARS, *(str(int(number)) for number in order)]
    done = subprocess.run(words, start_new_session=True, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted True\n"), done.stderr
    assert done.stderr.count("stopping") <= 1


def test_a_signal_before_the_bars_is_shown_on_them(stop: StopFlag, capsys: pytest.CaptureFixture[str]) -> None:
    """What was heard while the program loaded is said at once, and again by what shows the run."""
    said: list[str] = []
    assert not stop()
    os.kill(os.getpid(), signal.SIGINT)
    shown = ""
    while "stopping" not in shown:
        time.sleep(0.01)
        shown += capsys.readouterr().err
    assert stop()
    stop.tell_by(said.append)
    assert [line.partition(":")[0] for line in said] == ["stopping"]
