"""The command as a user runs it, in a process of its own, and what it cost."""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_S = 0.2
_PR_SET_CHILD_SUBREAPER = 36  # Source: linux/prctl.h


@dataclass(frozen=True)
class Cost:
    """Seconds of all cores, those of its workers included, and seconds by the clock."""

    cpu_s: float
    wall_s: float

    def __str__(self) -> str:
        return f"{self.cpu_s:.1f} CPU-s {self.wall_s:.1f} s"


def shell_environment() -> dict[str, str]:
    """Return this process's environment as a shell has it: what Python compiles for a command serves the next one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cost_of_command(given: tuple[Path, Path, list[str], dict[str, str]]) -> Cost:
    """Run `lipwise-ray submit` and return its cost. Runs in a child, whose own becomes what the command leaves behind.

    Args:
        given: A manifest, where outputs go (the state lies beside them), settings, each as ``section.key=value``, of
            which ``preset="fast"`` names a preset, and variables of the environment.

    Raises:
        RuntimeError: The command failed.
    """
    manifest, out, settings, variables = given
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # Ray's processes count once their parents are gone
    environment = {**shell_environment(), **variables}
    words = [sys.executable, "-m", "lipwise_ray", "submit", str(manifest), "--out", str(out)]
    for text in settings:
        words += ["--preset", text.partition("=")[2].strip('"')] if text.startswith("preset=") else ["--set", text]
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with _watched() as seen_s:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        wall_s = time.perf_counter() - begun_s
        with suppress(ChildProcessError):
            while True:
                os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stderr)
    waited_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(max(waited_s, sum(seen_s.values())), wall_s)


@contextmanager
def _watched() -> Generator[dict[int, float]]:
    """Yield the processor seconds of all processes under this one, by their numbers, as they were last seen.

    Whoever ends without being waited for, as a raylet's workers do, is in no sum that the system keeps.
    """
    seen_s: dict[int, float] = {}
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    seen_s[process.pid] = times.user + times.system

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield seen_s
    finally:
        is_over.set()
        watch.join()
