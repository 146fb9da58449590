"""Hearing a signal."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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


_IS_TOLD = """
import io, os, signal, sys, time
from lipwise_ray.cli.stopping import StopFlag
sys.stderr, said = io.StringIO(), []
stop = StopFlag()
assert not stop()
os.kill(os.getpid(), signal.SIGINT)
while "stopping" not in sys.stderr.getvalue():
    time.sleep(0.01)
assert stop()
stop.tell_by(said.append)
print([line.partition(":")[0] for line in said])
"""


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process and a session of its own: where a signal has its default effect, it ends the process."""
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False, timeout=120)


_ENDS_AT_ONCE = """
import atexit, os, signal
from lipwise_ray.cli import stopping
from lipwise_ray.backends.ray import last_exit
atexit.register(print, "in order")
stop = stopping.StopFlag("")
try:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    last_exit.end(130)
"""


def test_a_second_signal_ends_the_process_at_once() -> None:
    """Threads still compute then: what would be torn down under them as the interpreter ends might crash it."""
    done = _run(_ENDS_AT_ONCE)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr


@pytest.mark.parametrize("order", [(signal.SIGHUP, signal.SIGTERM), (signal.SIGTERM, signal.SIGHUP)])
def test_a_terminal_that_closes_is_no_second_signal(order: tuple[signal.Signals, ...]) -> None:
    """A machine that goes down sends both, in any order: what runs ends in order. Another one ends the program."""
    done = _run(_HEARS, *(str(int(number)) for number in order))
    assert (done.returncode, done.stdout) == (0, "interrupted True\n"), done.stderr
    assert done.stderr.count("stopping") <= 1


def test_a_signal_before_the_bars_is_shown_on_them() -> None:
    """What was heard while the program loaded is said at once, and again by what shows the run."""
    done = _run(_IS_TOLD)
    assert (done.returncode, done.stdout) == (0, "['stopping']\n"), done.stderr
