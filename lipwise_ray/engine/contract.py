"""What an engine is: a few workers that each run one task at a time."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Literal, Protocol

from lipwise_ray.dubbing.tasks import Lane, Task
from lipwise_ray.errors import InputError, LipwiseError, SetupError, TransientError
from lipwise_ray.values import Json

Blame = Literal["input", "setup", "application", "crash"]
"""Who is at fault: the row's input, the set-up, the code or its surroundings, a dead worker."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. ``message`` is for people, ``detail`` a traceback for the ledger."""

    blame: Blame
    code: str
    message: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt: a result or a failure."""

    worker: str
    task: Task
    result: Json | None
    failure: Failure | None


class Engine(Protocol):
    """Runs tasks on workers. The caller decides which worker gets what, and when."""

    @property
    def device(self) -> str:
        """What render workers compute on: ``cpu`` or ``cuda``."""
        ...

    @property
    def description(self) -> str:
        """One line for people."""
        ...

    def start(self, prepare: list[Json]) -> None:
        """Make the workers and let the ones that render load the models of these jobs.

        Raises:
            SetupError: No worker can be made, or a model cannot be loaded.
        """
        ...

    def idle(self, lane: Lane) -> list[str]:
        """Return the workers of a lane that have nothing to do."""
        ...

    def submit(self, worker: str, task: Task) -> None:
        """Give an idle worker its next task."""
        ...

    def poll(self, timeout_s: float) -> list[Outcome]:
        """Return the attempts that ended, waiting up to `timeout_s` for the first one."""
        ...

    def frames_done(self) -> dict[str, int]:
        """Return how many frames each busy worker has finished in its present task."""
        ...

    def close(self) -> None:
        """Stop all workers."""
        ...


def failure_of(error: BaseException) -> Failure:
    """Describe an exception of a task.

    The one place where any exception becomes a recorded outcome.
    """
    detail = "".join(traceback.format_exception(error))
    if isinstance(error, InputError):
        return Failure("input", error.code, str(error), detail)
    if isinstance(error, SetupError):
        return Failure("setup", error.code, str(error), detail)
    if isinstance(error, LipwiseError | TransientError):
        return Failure("application", error.code, str(error), detail)
    last = traceback.extract_tb(error.__traceback__)[-1:] if error.__traceback__ else []
    place = f" ({last[0].name} in {last[0].filename.rsplit('/', 1)[-1]}:{last[0].lineno})" if last else ""
    return Failure("application", "internal", f"internal error: {type(error).__name__}: {error}{place}", detail)
