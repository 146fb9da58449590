"""Loading torch beside another runtime's network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lipwise_ray.pipeline.tasks.early_torch import EarlyTorch

_PROGRAM = """
import builtins, sys, threading
from lipwise_ray.pipeline.tasks.early_torch import EarlyTorch
builtins.has_begun, builtins.may_end = threading.Event(), threading.Event()
early = EarlyTorch()
"""

_WAITED_FOR = """
assert not early.is_loaded
with early.loading(is_needed=True):
    has_begun.wait()
    assert "torch" in sys.modules and not early.is_loaded
    may_end.set()
    import torch
    assert torch.is_whole
assert early.is_loaded
print("loaded")
"""

_FAILED = """
may_end.set()
with early.loading(is_needed=True):
    import torch
"""

_TRIED_AGAIN = """
may_end.set()
try:
    with early.loading(is_needed=True):
        pass
except OSError:
    pass
with early.loading(is_needed=True):
    pass
assert early.is_loaded
print("loaded")
"""

_NOT_NEEDED = """
with early.loading(is_needed=False):
    pass
assert not early.is_loaded
print("not loaded")
"""


def _run(folder: Path, package: str, words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process whose torch is a package of this test."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(package)
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[4])])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", _PROGRAM + words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.parametrize(("words", "end"), [(_WAITED_FOR, "loaded"), (_NOT_NEEDED, "not loaded")])
def test_torch_is_loaded_beside_other_work(tmp_path: Path, words: str, end: str) -> None:
    """Whoever imports it gets it whole; it does not count as loaded before; and not at all where nobody needs it."""
    package = "import builtins\nbuiltins.has_begun.set()\nbuiltins.may_end.wait()\nis_whole = True\n"
    done = _run(tmp_path, package, words)
    assert done.stdout.strip() == end, done.stderr


def test_a_torch_that_does_not_load_is_reported_as_without_the_thread(tmp_path: Path) -> None:
    """The first error counts: importing it once more mostly fails otherwise, and says nothing of the reason."""
    package = """
import builtins
builtins.tries = getattr(builtins, "tries", 0) + 1
raise OSError(f"libtorch_cpu.so: cannot open shared object file, at attempt {builtins.tries}")
"""
    done = _run(tmp_path, package, _FAILED)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("OSError: libtorch_cpu.so: cannot open shared object file, at attempt 1")


def test_a_fault_is_told_once(tmp_path: Path) -> None:
    """What kept torch from loading may be over when the next model needs it."""
    package = """
import builtins
builtins.tries = getattr(builtins, "tries", 0) + 1
if builtins.tries == 1:
    raise OSError("out of memory")
"""
    done = _run(tmp_path, package, _TRIED_AGAIN)
    assert done.stdout.strip() == "loaded", done.stderr


def test_a_torch_that_is_there_counts_as_loaded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that loads further models meanwhile sets torch's threads for each."""
    monkeypatch.setitem(sys.modules, "torch", sys)  # any module: it is not looked into
    early = EarlyTorch()
    with early.loading(is_needed=True):
        assert early.is_loaded
