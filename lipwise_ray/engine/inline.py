"""The engine without Ray: one worker of each lane in this process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import replace

from lipwise_ray.dubbing.abilities import Abilities, abilities_in
from lipwise_ray.dubbing.tasks import Lane, Task
from lipwise_ray.dubbing.worker import Worker, WorkerConfig
from lipwise_ray.engine.contract import Outcome, Seat, failure_of
from lipwise_ray.engine.factory import no_gpu_here
from lipwise_ray.settings import Engine as EngineSettings
from lipwise_ray.values import Json

_WORKER = "inline"
_NODE = "here"


class InlineEngine:
    """Runs each task when it is polled for.

    Args:
        config: The worker's configuration.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._worker = Worker(config)
        self._task: Task | None = None
        self.abilities: list[Abilities] = []
        """What the worker can do, once it has begun."""

    @property
    def device(self) -> str:
        """What the worker computes on."""
        return self._config.device

    @property
    def description(self) -> str:
        """One line for people."""
        return f"this process, {self.device.upper()}"

    @property
    def places(self) -> int:
        """One worker."""
        return 1

    @property
    def loading(self) -> int:
        """None: `start` returns once the worker is ready."""
        return 0

    @property
    def gpu_bytes(self) -> int:
        """The most GPU memory that was reserved."""
        import torch  # noqa: PLC0415  # loaded already where there is any

        return torch.cuda.max_memory_reserved() if self.device == "cuda" else 0

    def start(self, prepare: list[Json], stop: Callable[[], bool] = lambda: False) -> None:
        """Load the models."""
        if not stop():
            self.abilities = [abilities_in(self._worker.prepare(prepare)["abilities"])]

    def want(self, backlog: Mapping[Lane, int]) -> None:
        """Do nothing: there is one worker."""

    def idle(self, lane: Lane) -> list[Seat]:
        """Return the worker when it has nothing to do; it serves both lanes."""
        return [] if self._task else [self._seat(lane)]

    def _seat(self, lane: Lane) -> Seat:
        return Seat(_WORKER, lane, _NODE, self.abilities[0].words if self.abilities else None)

    def nodes(self, lane: Lane) -> set[str]:  # noqa: ARG002  # one worker serves both lanes
        """Return this process's place."""
        return {_NODE}

    def submit(self, worker: str, task: Task) -> None:  # noqa: ARG002  # there is one
        """Remember the task."""
        self._task = task

    def poll(self, timeout_s: float) -> list[Outcome]:  # noqa: ARG002  # a task runs to its end
        """Run the task."""
        task, self._task = self._task, None
        if task is None:
            return []
        seat = self._seat(task.lane)
        try:
            return [Outcome(seat, task, self._worker.run(task.kind, task.payload), None)]
        except Exception as error:  # noqa: BLE001  # a task's failure becomes a recorded outcome
            return [Outcome(seat, task, None, failure_of(error))]

    def frames_done(self) -> dict[str, int]:
        """Return nothing: no task runs between polls."""
        return {}

    def kill(self, worker: str) -> None:
        """Do nothing: a task runs to its end within a poll."""

    def renew(self, worker: str) -> bool:  # noqa: ARG002  # there is one
        """Begin with a fresh worker that has loaded nothing; the process is the driver's own and stays."""
        self._worker = Worker(self._config)
        gc.collect()
        return False

    def close(self) -> None:
        """Forget the task."""
        self._task = None


def inline_engine(config: WorkerConfig, settings: EngineSettings) -> InlineEngine:
    """Return an engine on the device that is asked for; left to itself it uses a GPU of this machine where one is.

    Raises:
        SetupError: A GPU is asked for, and there is none.
    """
    device = settings.device
    if device == "auto":
        import torch  # noqa: PLC0415  # only to see what there is

        device = "cuda" if settings.place != "cpu" and torch.cuda.is_available() else "cpu"
        if settings.place == "gpu" and device == "cpu":
            raise no_gpu_here()
    return InlineEngine(replace(config, device=device))
