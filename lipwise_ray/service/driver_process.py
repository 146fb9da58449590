"""A driver process as its service sees it: what it is told and what it tells, as long as it lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.service.module_process import ModuleProcess, signal_name
from lipwise_ray.service.wire import BeginDriver, FromDriver, ToDriver, from_driver, line_of

_DRIVER = "lipwise_ray.service.driver"


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
        return cls(f"was killed by {signal_name(-code)}")


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
        self._process = ModuleProcess(_DRIVER)
        self.send(begin)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, message: ToDriver) -> None:
        """Tell it something; nobody waits for it to listen."""
        self._process.send(line_of(message))

    def end_input(self) -> None:
        """Tell it that there is no more: it stops, as for Ctrl-C."""
        self._process.end_input()

    def messages(self) -> Iterator[FromDriver]:
        """Yield its messages, up to its end."""
        for line in self._process.lines():
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
