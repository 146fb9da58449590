"""The engine's role: workers on nodes, each with one task at a time."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lipwise_ray.errors import (
    InputError,
    LipwiseError,
    SetupError,
    SignerError,
    StorageError,
    is_of_the_disk,
    lost_its_device,
    ran_out_of_memory,
)
from lipwise_ray.scheduler.task import Blame, Failure, Lane, Task, TaskResult
from lipwise_ray.scheduler.worker_protocol import Capabilities
from lipwise_ray.state.shapes import WorkerMemory

_BLAMES: dict[type[LipwiseError], Blame] = {
    InputError: "input",
    SetupError: "setup",
    StorageError: "storage",
    SignerError: "signer",
}

INTERNAL, DEVICE_ERROR = "internal", "device_error"
"""Codes of failures after which nothing is known of the process: it may have caused them, and is not trusted again."""


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """A worker that can take a task of its lane, its node, and what it ``offers`` to tasks: None is all there is."""

    worker: str
    lane: Lane
    node: str
    offers: frozenset[str] | None = None

    def can(self, task: Task) -> bool:
        """Tell whether it has all capabilities that a task needs."""
        return self.offers is None or task.needs <= self.offers


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt: a result or a failure."""

    slot: WorkerSlot
    task: Task
    result: TaskResult | None
    failure: Failure | None


class Engine(Protocol):
    """Runs tasks on workers. The caller decides which worker gets what, and when."""

    @property
    def device(self) -> str:
        """Device that render workers compute on: ``cpu`` or ``cuda``."""
        ...

    @property
    def description(self) -> str:
        """One line for people."""
        ...

    @property
    def render_slots(self) -> int:
        """Render workers that there may be now."""
        ...

    @property
    def loading(self) -> int:
        """Workers that were made and are not ready yet: they fetch and load their models."""
        ...

    @property
    def unreported(self) -> int:
        """Render workers that were made and have not reported their capabilities yet."""
        ...

    @property
    def capabilities(self) -> Sequence[Capabilities]:
        """Capabilities that render workers on living nodes reported."""
        ...

    @property
    def fallbacks(self) -> Sequence[str]:
        """Sentences on GPU workers that do on the CPU what their GPU was meant for, each with its node; mostly none."""
        ...

    @property
    def gpu_bytes(self) -> int:
        """The most GPU memory that one worker has reserved."""
        ...

    @property
    def memory(self) -> Sequence[WorkerMemory]:
        """Memory of the workers that told of it lately; none of those that are still beginning."""
        ...

    def start(self, prepare: list[Any], stop: Callable[[], bool] = lambda: False) -> None:
        """Make workers, and let those that render load the models of these jobs; return early where `stop` says so.

        Models may be loading still when it returns, and a worker takes tasks once it has them: one that cannot be
        loaded stops the start, or is raised by `want` or `idle` later.

        Args:
            prepare: Jobs with models to load, as `TaskRunner.prepare` takes them; not of any type that a scheduler
                knows.
            stop: Asked while workers start; once it returns True nothing more is waited for.

        Raises:
            SetupError: No worker can be made, or a model cannot be loaded.
        """
        ...

    def want(self, backlog: Mapping[Lane, int]) -> None:
        """Take note of the number of tasks that wait or run, by lane; workers may be made or sent away.

        Raises:
            SetupError: Workers fail to start wherever they are tried.
        """
        ...

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        """Return the workers of a lane that may take a task; none on a node that is about to go."""
        ...

    def submit(self, worker: str, task: Task) -> None:
        """Give an idle worker its next task.

        Args:
            worker: Name of a worker that `idle` returned (`WorkerSlot.worker`).
            task: The task; its outcome comes by `poll`.
        """
        ...

    def poll(self, timeout_s: float) -> list[Outcome]:
        """Return the attempts that ended, waiting up to `timeout_s` for the first one."""
        ...

    def frames_done(self) -> dict[str, int]:
        """Return the frames that each busy worker has finished in its present task."""
        ...

    def kill(self, worker: str) -> None:
        """End a worker that makes no progress; its attempt fails as ``stalled``."""
        ...

    def renew(self, worker: str) -> bool:
        """End an idle worker's process, so that a fresh one takes its place.

        Returns:
            False where the worker has no process of its own: then only what it has loaded is given up.
        """
        ...

    def close(self) -> None:
        """Stop all workers."""
        ...


def failure_of(error: BaseException) -> Failure:
    """Describe an exception of a task.

    The one place where any exception becomes a recorded outcome.
    """
    detail = "".join(traceback.format_exception(error))
    if isinstance(error, LipwiseError):
        fitting: list[Blame] = [blame for kind, blame in _BLAMES.items() if isinstance(error, kind)]
        blame = fitting[0] if fitting else "application"
        return Failure(blame, error.code, str(error), detail)
    if ran_out_of_memory(error):
        return Failure("memory", "out_of_memory", f"memory: ran out during the task: {first_line(error)}", detail)
    if lost_its_device(error):
        return Failure("application", DEVICE_ERROR, f"GPU: failed during the task: {first_line(error)}", detail)
    if is_of_the_disk(error):
        return Failure("storage", "disk", f"disk: refused: {error}", detail)
    last = traceback.extract_tb(error.__traceback__)[-1:] if error.__traceback__ else []
    place = f" ({last[0].name} in {last[0].filename.rsplit('/', 1)[-1]}:{last[0].lineno})" if last else ""
    return Failure("application", INTERNAL, f"internal error: {type(error).__name__}: {error}{place}", detail)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's words, or its name where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
