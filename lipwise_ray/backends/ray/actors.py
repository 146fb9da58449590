"""Actors in Ray's processes: the workers, and a small agent on each node where one is needed."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from threadpoolctl import threadpool_limits

from lipwise_ray.backends.own_memory import own_memory
from lipwise_ray.backends.ray.session import ray_logs
from lipwise_ray.backends.ray.starts import log_end, words_of_start
from lipwise_ray.backends.worker_config import RunnerMaker, WorkerConfig
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.scheduler.worker_protocol import Capabilities
from lipwise_ray.state.shapes import WorkerMemory
from lipwise_ray.threads import let_threads_sleep

_TOLD_SHARE = 0.9
_OF_NETWORKS, _OF_OTHERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS"), ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Begun:
    """Identity of a worker that has begun: its process, its node, its log, and its capabilities where it renders."""

    pid: int
    node: str
    log: str
    capabilities: Capabilities | None


@dataclass(frozen=True, slots=True)
class Pulse:
    """Frames that a worker has finished since it began, and its memory."""

    frames: int
    memory: WorkerMemory


class RemoteWorker:
    """A worker, a counter that another thread may read, and a log of its own.

    Args:
        config: Of the worker.
        make_runner: Makes what does the tasks.
        name: The engine's name of it.
        start_s: The time it has to begin; shortly before its end the log gets to know where it stands.
    """

    def __init__(self, config: WorkerConfig, make_runner: RunnerMaker, name: str, start_s: float) -> None:
        let_threads_sleep(os.environ)  # before anything loads what reads it
        _limit_threads(config.threads, config.network_threads)
        self._name = name
        self._log = _own_log(config.scratch_here, name)
        faulthandler.dump_traceback_later(start_s * _TOLD_SHARE)
        self._worker = make_runner(config)

    def begin(self, jobs: list[Any] | None) -> Begun:
        """Tell who, where and what this is, for these jobs; None for a worker that renders nothing."""
        capabilities = None if jobs is None else self._worker.prepare(jobs)
        if jobs is None:
            faulthandler.cancel_dump_traceback_later()
        node, log = ray.get_runtime_context().get_node_id(), str(self._log) if self._log else ""
        return Begun(os.getpid(), str(node), log, capabilities)

    def load(self, jobs: list[Any]) -> None:
        """Load the models of these jobs."""
        self._worker.load(jobs)
        faulthandler.cancel_dump_traceback_later()

    def run(self, kind: str, payload: bytes, hints: Hints, attempt: str) -> tuple[bytes, int]:
        """Do one task.

        Args:
            kind: Name of the task's kind.
            payload: JSON of `TaskKind.write_payload`.
            hints: Facts that the driver knows of the task.
            attempt: Name of the attempt; a line with it goes to the log, so that `Agent.tail` finds its part.

        Returns:
            JSON of its result (`TaskKind.read_result`), and the most bytes of GPU memory that this process reserved.
        """
        print(f"--- {attempt}", file=sys.stderr, flush=True)  # noqa: T201  # the worker's own log
        known = self._worker.kinds[kind]
        result = self._worker.run(known, known.read_payload(payload), hints)
        return known.write_result(result), _gpu_bytes()

    @ray.method(concurrency_group="control")
    def pulse(self) -> Pulse:
        """Tell the frames finished since the worker began, and its memory."""
        return Pulse(self._worker.frames_done, own_memory(self._name, str(ray.get_runtime_context().get_node_id())))


class Agent:
    """Looks after the processes of one node."""

    def kill(self, pid: int) -> None:
        """End a process that may not listen any more."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def tail(self, log: str, mark: str) -> str:
        """Return the end of a worker's log, from the last line that ends in `mark`.

        Args:
            log: Path of the log on this node.
            mark: Name of the attempt, as `RemoteWorker.run` got it.
        """
        return log_end(Path(log)).rpartition(f"--- {mark}\n")[2]

    def words_of_start(self, config: WorkerConfig, worker: str) -> tuple[bool, str]:
        """Read the logs for a worker that does not start, see `starts.words_of_start`."""
        return words_of_start(str(config.scratch_here), worker, ray_logs())


def _limit_threads(count: int, networks: int = 0) -> None:
    """Let libraries, loaded already or later, compute with so many threads; networks may have others."""
    os.environ.update(dict.fromkeys(_OF_OTHERS, str(count)) | dict.fromkeys(_OF_NETWORKS, str(networks or count)))
    threadpool_limits({"blas": count, "openmp": networks or count})


def _gpu_bytes() -> int:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_reserved() if torch and torch.cuda.is_initialized() else 0


def _own_log(scratch: Path, name: str) -> Path | None:
    """Send the output of this process, and the stack of a fatal signal, to a file that outlives it."""
    folder = scratch / "logs"
    path = folder / f"{name}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return None  # a full disk must not keep the worker from saying so by its tasks
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    faulthandler.enable(all_threads=False)
    return path
