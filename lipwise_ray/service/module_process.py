"""A module of this package in a process of its own, as long as it lives: lines go in, and lines come out."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import lipwise_ray


class ModuleProcess:
    """A process, started at once.

    Args:
        module: What it runs.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, module: str) -> None:
        package = str(Path(lipwise_ray.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, a module of this package
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},  # the same code as here
            start_new_session=True,  # Ctrl-C in the terminal is the service's to hear
        )
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, name=f"{module.rpartition('.')[2]}-input", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Tell it something; nobody waits for it to listen: a pipe holds little."""
        self._outgoing.put(line)

    def end_input(self) -> None:
        """Tell it that there is no more."""
        self._outgoing.put(None)

    def lines(self) -> Iterator[bytes]:
        """Yield its lines, up to its end; the last may be half a one."""
        assert self._process.stdout is not None  # a pipe was asked for
        with self._process.stdout as lines:
            yield from lines

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; return its exit code, as `subprocess` has it: negative for a signal.

        Raises:
            TimeoutExpired: It has not ended by then.
        """
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _write(self) -> None:
        assert self._process.stdin is not None  # a pipe was asked for
        with suppress(OSError):  # it is gone, which its output tells
            while (line := self._outgoing.get()) is not None:
                self._process.stdin.write(line)
                if self._outgoing.empty():
                    self._process.stdin.flush()
        with suppress(OSError):
            self._process.stdin.close()


def signal_name(number: int) -> str:
    """Return the name of a signal; most of the real-time ones have none."""
    return next((one.name for one in signal.Signals if one == number), f"signal {number}")
