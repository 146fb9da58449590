"""How a process ends that has loaded what would crash on its way out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lipwise_ray.backends.ray.last_exit import end

_PROGRAM = """
import atexit, sys
from lipwise_ray.backends.ray import last_exit
atexit.register(print, "in order")
sys.stdout.write("said\\n")
if sys.argv[1] == "at once":
    last_exit.must_be_at_once("the test says so")
last_exit.end(3)
"""


@pytest.mark.parametrize(("how", "said"), [("in order", "said\nin order\n"), ("at once", "said\n")])
def test_the_code_and_what_was_printed_outlive_the_end(how: str, said: str) -> None:
    """Handlers run where that is safe and are left out where it is not; either way nothing printed is lost."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")


@pytest.mark.parametrize("code", [0, 5])
def test_nothing_is_in_a_hurry_unless_somebody_said_so(code: int) -> None:
    """The command ends as any program does, so that whoever called it may clean up."""
    with pytest.raises(SystemExit) as ended:
        end(code)
    assert ended.value.code == code
