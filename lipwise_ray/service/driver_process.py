"""A driver process as its service sees it: what it is told and what it tells, as long as it lives."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

import lipwise_ray
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.service.wire import BeginDriver, FromDriver, ToDriver, from_driver, line_of


@dataclass(frozen=True, slots=True)
class DriverEnd:
    """The end of a driver.

    Attributes:
        how: The way it ended, in words.
        nothing_works: It made way because nothing worked in it any more: the machine may be at fault.
    """

    how: str
    nothing_works: bool = False

    @classmethod
    def of(cls, code: int) -> DriverEnd:
        """Return the end that an exit code tells of, as `subprocess` has it: negative for a signal."""
        if code >= 0:
            return cls(f"ended with exit code {code}", code == ExitCode.STOPPED)
        try:
            return cls(f"was killed by {signal.Signals(-code).name}")
        except ValueError:  # most real-time signals have no name
            return cls(f"was killed by signal {-code}")


class DriverLink(Protocol):
    """The way to a driver and back."""

    @property
    def pid(self) -> int:
        """Number of its process."""
        ...

    def send(self, message: ToDriver) -> None:
        """Tell it something; nobody waits for it to listen."""
        ...

    def end_input(self) -> None:
        """Tell it that there is no more: it stops, as for Ctrl-C."""
        ...

    def messages(self) -> Iterator[FromDriver]:
        """Yield its messages, up to its end."""
        ...

    def wait(self) -> DriverEnd:
        """Wait for its end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class DriverProcess:
    """A process of `lipwise_ray.service.driver`, started at once.

    Args:
        begin: Settings and places.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, begin: BeginDriver) -> None:
        package = str(Path(lipwise_ray.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lipwise_ray.service.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},  # the same code as here
            start_new_session=True,  # Ctrl-C in the terminal is the service's to hear
        )
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="driver-input", daemon=True).start()
        self.send(begin)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, message: ToDriver) -> None:
        """Tell it something; nobody waits for it to listen."""
        self._outgoing.put(line_of(message))

    def end_input(self) -> None:
        """Tell it that there is no more: it stops, as for Ctrl-C."""
        self._outgoing.put(None)

    def _write(self) -> None:
        assert self._process.stdin is not None  # a pipe was asked for
        with suppress(OSError):  # it is gone, which `messages` tells
            while (line := self._outgoing.get()) is not None:
                self._process.stdin.write(line)
                if self._outgoing.empty():
                    self._process.stdin.flush()
        with suppress(OSError):
            self._process.stdin.close()

    def messages(self) -> Iterator[FromDriver]:
        """Yield its messages, up to its end."""
        assert self._process.stdout is not None  # a pipe was asked for
        with self._process.stdout as lines:
            for line in lines:
                with suppress(ValidationError):  # half a line, of a process that was killed
                    yield from_driver(line)

    def wait(self) -> DriverEnd:
        """Wait for its end."""
        code = self._process.wait()
        self.end_input()
        return DriverEnd.of(code)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
