"""`python -m lipwise_ray`, in a folder of footage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["traceback", "typer"])
def test_nothing_that_lies_beside_the_footage_is_a_module(name: str, tmp_path: Path) -> None:
    """The working directory leaves the path before the program looks for its own modules."""
    (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    words = [sys.executable, "-m", "lipwise_ray", "--help"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_program_loads_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    """Neither a signal's own death, which supervisors misread, nor the traceback of an import."""
    (tmp_path / "typer.py").write_text(f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(30)\n")
    # Started in the background by a shell, the tests have SIGINT ignored, and would hand that on.
    program = (
        f"import signal, sys; signal.signal({int(number)}, signal.SIG_DFL); sys.path.insert(0, {str(tmp_path)!r}); "
        "from lipwise_ray.__main__ import main; main()"
    )
    words = [sys.executable, "-c", program, "status", "x"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "stopped\n")
