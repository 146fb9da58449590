"""`python -m lipwise_ray`, in a folder of footage."""

from __future__ import annotations

import os
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
