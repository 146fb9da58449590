"""Ray's processes apart from this one: from its terminal, its process group and its working directory."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray._private import services
from ray._private import utils as ray_utils
from ray.job_config import JobConfig

from lipwise_ray.malloc_arenas import few_arenas

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Keeps the folder of a script, and the working directory, off the path of Python processes."""


_ACTION_BYTES = 512
"""Room for what the system knows of a handler: it takes 152 where it is largest."""

_NO_WAITING = {"RAY_prestart_worker_first_driver": "0"}
"""Ray would let a driver wait for workers that it starts on stock, without end where none comes up, and unused here."""


class OwnFoldersOnly(JobConfig):
    """A job whose workers look for modules where their Python is installed, and where they are told to.

    Left alone Ray puts the driver's working directory first on its workers' path, and any ``soxr.py`` that lies beside
    the footage is then taken for the library. It leaves that out only for jobs that bring a folder of their own.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


class _OwnSession(services.ConsolePopen):
    """A process of Ray's with a session of its own and nothing to read.

    Ray's own would be in this process's group, where a supervisor's SIGTERM ends raylets before the driver has
    drained, and would share its terminal: a program that a worker starts and that reads it is stopped by the kernel,
    for ever, because it is in the background there.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if options.get("stdin") is None:
            options["stdin"] = subprocess.DEVNULL
        environment = options.get("env") or os.environ
        options["env"] = {**safe_environment(environment), **few_arenas(environment), **_NO_WAITING}
        super().__init__(*arguments, **{**options, "start_new_session": True})


def safe_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Python loads no module from the working directory.

    Folders that `PYTHONPATH` names stay; an empty entry of it, which stands for the working directory, does not.
    """
    found = {**environment, **SAFE_PATH}
    named = [folder for folder in found.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    return {**found, "PYTHONPATH": os.pathsep.join(named)} if named else found


@contextmanager
def apart() -> Generator[list[subprocess.Popen[Any]]]:
    """Let Ray start with its processes apart from this one, and with this one's handlers of signals.

    Yields:
        The processes that were started; whoever gives Ray up ends them.
    """
    # Private: Ray has no public way. A version that starts its processes otherwise fails the test of this.
    made: list[subprocess.Popen[Any]] = []

    class Noted(_OwnSession):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    theirs, theirs_on_signal = services.ConsolePopen, ray_utils.set_sigterm_handler
    services.ConsolePopen, ray_utils.set_sigterm_handler = Noted, _keep_ours
    try:
        with our_handlers():
            yield made
    finally:
        services.ConsolePopen, ray_utils.set_sigterm_handler = theirs, theirs_on_signal


@contextmanager
def our_handlers() -> Generator[None]:
    """Keep the handlers of signals that Python calls: Ray's native part puts its own in their place.

    Python itself would let only the main thread put them back, and Ray may be started by another. One that Python was
    given meanwhile stays: a second Ctrl-C ends the program, whatever Ray is doing.
    """
    system = ctypes.CDLL(None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = [number for number, handler in handlers.items() if callable(handler)]
    actions = {number: ctypes.create_string_buffer(_ACTION_BYTES) for number in ours}
    for number, action in actions.items():
        system.sigaction(number, None, action)
    try:
        yield
    finally:
        for number, action in actions.items():
            if signal.getsignal(number) is handlers[number]:
                system.sigaction(number, action, None)


def _keep_ours(handler: object) -> None:
    """Take no handler of SIGTERM: Ray's would end the driver at once, while it is to hear that it shall stop."""
    del handler


def end_sessions(leaders: set[int]) -> None:
    """Kill the processes left in the sessions that these processes were started in."""
    for pid in psutil.pids() if leaders else ():
        with suppress(OSError):  # it ended meanwhile
            if os.getsid(pid) in leaders:
                os.kill(pid, signal.SIGKILL)
