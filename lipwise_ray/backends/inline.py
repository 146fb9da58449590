"""The engine without Ray: one worker of each lane in this process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lipwise_ray.backends.devices import has_cuda, no_gpu_here
from lipwise_ray.backends.own_memory import own_memory
from lipwise_ray.backends.worker_config import RunnerMaker, WorkerConfig
from lipwise_ray.cpu_quota import usable_cores
from lipwise_ray.errors import SetupError, ran_out_of_memory
from lipwise_ray.scheduler.engine import Outcome, WorkerSlot, failure_of, first_line
from lipwise_ray.scheduler.task import Lane, Task
from lipwise_ray.scheduler.worker_protocol import Capabilities
from lipwise_ray.settings.model import EngineSettings
from lipwise_ray.state.shapes import WorkerMemory

_WORKER = "inline"
_NODE = "here"


class InlineEngine:
    """Runs each task when it is polled for.

    Args:
        config: The worker's configuration.
        make_runner: Makes the worker.
    """

    def __init__(self, config: WorkerConfig, make_runner: RunnerMaker) -> None:
        self._config = config
        self._make_runner = make_runner
        self._worker = make_runner(config)
        self._task: Task | None = None
        self.capabilities: list[Capabilities] = []
        """Capabilities of the worker, once it has begun."""

    @property
    def device(self) -> str:
        """Device that the worker computes on."""
        return self._config.device

    @property
    def description(self) -> str:
        """One line for people."""
        return f"this process, {self.device.upper()}"

    @property
    def render_slots(self) -> int:
        """One worker."""
        return 1

    @property
    def loading(self) -> int:
        """None: `start` returns once the worker is ready."""
        return 0

    @property
    def unreported(self) -> int:
        """None, as of those that load."""
        return 0

    @property
    def fallbacks(self) -> list[str]:
        """The worker's, once it has begun."""
        return [f"this process: {one.fallback}" for one in self.capabilities if one.fallback]

    @property
    def gpu_bytes(self) -> int:
        """The most GPU memory that was reserved."""
        if self.device != "cuda":
            return 0
        import torch  # which the worker has loaded

        return torch.cuda.max_memory_reserved()

    @property
    def memory(self) -> list[WorkerMemory]:
        """Memory of this process."""
        return [own_memory(_WORKER, _NODE)]

    def start(self, prepare: list[Any], stop: Callable[[], bool] = lambda: False) -> None:
        """Load the models."""
        if stop():
            return
        try:
            self.capabilities = [self._worker.prepare(prepare)]
            self._worker.load(prepare)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            got = f"ran out while the models were loaded: {first_line(error)}"
            do = "Take a larger machine or a smaller model; what is done is kept"
            raise SetupError("worker_start", "memory", got=got, do=do) from error

    def want(self, backlog: Mapping[Lane, int]) -> None:
        """Do nothing: there is one worker."""

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        """Return the worker when it has nothing to do; it serves both lanes."""
        return [] if self._task else [self._slot(lane)]

    def _slot(self, lane: Lane) -> WorkerSlot:
        return WorkerSlot(_WORKER, lane, _NODE, self.capabilities[0].offers if self.capabilities else None)

    def submit(self, worker: str, task: Task) -> None:  # noqa: ARG002  # there is one
        """Remember the task."""
        self._task = task

    def poll(self, timeout_s: float) -> list[Outcome]:  # noqa: ARG002  # a task runs to its end
        """Run the task."""
        task, self._task = self._task, None
        if task is None:
            return []
        slot = self._slot(task.lane)
        try:
            return [Outcome(slot, task, self._worker.run(task.kind, task.payload, task.hints), None)]
        except Exception as error:  # noqa: BLE001  # a task's failure becomes a recorded outcome
            return [Outcome(slot, task, None, failure_of(error))]

    def frames_done(self) -> dict[str, int]:
        """Return nothing: no task runs between polls."""
        return {}

    def kill(self, worker: str) -> None:
        """Do nothing: a task runs to its end within a poll."""

    def renew(self, worker: str) -> bool:  # noqa: ARG002  # there is one
        """Begin with a fresh worker that has loaded nothing; the process is the driver's own and stays."""
        self._worker = self._make_runner(self._config)
        gc.collect()
        return False

    def close(self) -> None:
        """Forget the task."""
        self._task = None


def inline_engine(config: WorkerConfig, settings: EngineSettings, make_runner: RunnerMaker) -> InlineEngine:
    """Return an engine on the device that is asked for; left to itself it uses a GPU of this machine where one is.

    Raises:
        SetupError: A GPU is asked for, and there is none.
    """
    device = settings.device
    if device == "auto":
        device = "cuda" if settings.place != "cpu" and has_cuda() else "cpu"
        if settings.place == "gpu" and device == "cpu":
            raise no_gpu_here()
    threads = settings.threads_per_worker or usable_cores()
    return InlineEngine(replace(config, device=device, threads=threads), make_runner)
