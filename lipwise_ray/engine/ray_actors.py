"""What runs in Ray's worker processes. Light to load: a process sets its threads before it loads what takes them."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:
    from lipwise_ray.dubbing.worker import Worker, WorkerConfig
    from lipwise_ray.values import Json

_TOLD_SHARE = 0.9
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class RemoteWorker:
    """A worker, a counter that another thread may read, and a log of its own.

    Args:
        name: The engine's name of it.
        scratch: The folder of temporary files.
        threads: What libraries may take that count threads as they are loaded.
        start_s: The time it has to begin; shortly before its end the log gets to know where it stands.
    """

    def __init__(self, name: str, scratch: str, threads: int, start_s: float) -> None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        self._log = _own_log(Path(scratch), name)
        self._worker: Worker | None = None
        faulthandler.dump_traceback_later(start_s * _TOLD_SHARE)

    def begin(self, config: WorkerConfig, jobs: list[Json] | None) -> Json:
        """Load the models of these jobs, None for a worker that renders nothing; tell who, where and what this is."""
        from lipwise_ray.dubbing.worker import Worker  # noqa: PLC0415  # loads numpy

        self._worker = Worker(config)
        told = {} if jobs is None else self._worker.prepare(jobs)
        faulthandler.cancel_dump_traceback_later()
        return {
            "abilities": told.get("abilities"),
            "pid": os.getpid(),
            "node": ray.get_runtime_context().get_node_id(),
            "log": str(self._log) if self._log else "",
        }

    def run(self, kind: Any, payload: Json, attempt: str) -> tuple[Json, int]:  # noqa: ANN401  # literals do not cross Ray's pickling
        """Do one task; return its result, and the most bytes of GPU memory that this process has reserved."""
        assert self._worker is not None  # it has begun
        print(f"--- {attempt}", file=sys.stderr, flush=True)  # noqa: T201  # the worker's own log
        return self._worker.run(kind, payload), _gpu_bytes()

    @ray.method(concurrency_group="control")
    def frames_done(self) -> int:
        """Return the frames finished since the worker began."""
        return self._worker.frames_done if self._worker is not None else 0


def _gpu_bytes() -> int:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_reserved() if torch and torch.cuda.is_initialized() else 0


def _own_log(scratch: Path, name: str) -> Path | None:
    """Send what this process prints, and the stack of a fatal signal, to a file that outlives it."""
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
