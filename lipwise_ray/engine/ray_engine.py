"""The engine on Ray Core actors. The only module of the dubbing path that imports ray."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
import ray.exceptions

from lipwise_ray.dubbing.tasks import Lane, Task
from lipwise_ray.dubbing.worker import Worker, WorkerConfig
from lipwise_ray.engine.contract import Failure, Outcome, failure_of
from lipwise_ray.errors import LipwiseError, SetupError
from lipwise_ray.values import Json

_START_TIMEOUT_S = 300.0
_FOLDER_PREFIX = "lw-ray-"
_KNOCK_TIMEOUT_S = 10.0
_REPLACE_TIMEOUT_S = 120.0
_MOST_FAILED_STARTS = 3
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OBJECT_STORE_BYTES = 100 << 20  # descriptors only: the smallest store Ray is happy with
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How many workers of which kind.

    Attributes:
        address: ``local`` for an embedded Ray, else what `ray.init` takes.
        workers: Render workers; 0 for one a GPU, or one for every two cores.
        cpu_workers: Workers for probing, planning and assembling.
        gpus_per_worker: Share of a GPU a render worker takes.
        threads: Threads a render worker uses on a CPU; 0 divides the cores.
    """

    address: str
    workers: int
    cpu_workers: int
    gpus_per_worker: float
    threads: int


class _Remote:
    """The actor: a worker, and a counter that another thread may read."""

    def __init__(self, state: str, scratch: str, device: str, threads: int) -> None:
        self._worker = Worker(WorkerConfig(state, scratch, device, threads))

    def prepare(self, jobs: list[Json]) -> Json:
        return self._worker.prepare(jobs)

    def run(self, kind: Any, payload: Json) -> Json:  # noqa: ANN401  # literals do not cross Ray's pickling
        return self._worker.run(kind, payload)

    @ray.method(concurrency_group="control")
    def frames_done(self) -> int:
        return self._worker.frames_done

    def pid(self) -> int:
        return os.getpid()


@dataclass(slots=True)
class _Slot:
    """A place for an actor; the actor in it may be replaced."""

    name: str
    lane: Lane
    actor: Any
    task: Task | None = None
    call: Any = None
    probe: Any = None
    frames_before: int = 0
    frames_now: int = 0
    dead: bool = False


class RayEngine:
    """Workers as Ray actors, one task in flight each.

    Args:
        config: State and scratch of the workers; device and threads are decided here.
        options: How many workers.

    Raises:
        SetupError: Ray cannot be started or reached.
    """

    def __init__(self, config: WorkerConfig, options: RayOptions) -> None:
        self._config = config
        self._options = options
        self._slots: dict[str, _Slot] = {}
        self._failed_starts = 0
        self._local = options.address == "local"
        self._folder = connect(options.address)
        resources = ray.cluster_resources()
        gpus, cores = resources.get("GPU", 0.0), max(1, int(resources.get("CPU", 1)))
        self._gpu = gpus >= options.gpus_per_worker
        if options.workers:
            self._workers = options.workers
        elif self._gpu:
            self._workers = max(1, int(gpus / options.gpus_per_worker))
        else:
            self._workers = max(1, cores // 2)
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        widest = max([cores // self._workers, 1])
        # A worker lives on one node: it cannot have more threads than the smallest one with cores.
        self._threads = options.threads or min(widest, min((n for n in nodes if n), default=1))

    @property
    def device(self) -> str:
        """What render workers compute on."""
        return "cuda" if self._gpu else "cpu"

    @property
    def description(self) -> str:
        """One line for people."""
        where = "local Ray" if self._local else f"Ray at {self._options.address}"
        kind = "GPU" if self._gpu else "CPU"
        return f"{where}: {self._workers} {kind} workers of {self._threads} threads"

    def start(self, prepare: list[Json]) -> None:
        """Make the actors; render actors load the models of these jobs."""
        lanes: list[Lane] = [*("gpu" for _ in range(self._workers)), *("cpu" for _ in range(self._options.cpu_workers))]
        for number, lane in enumerate(lanes):
            name = f"{lane}-{number}"
            self._slots[name] = _Slot(name, lane, self._actor(lane))
        loading = [slot.actor.prepare.remote(prepare) for slot in self._slots.values() if slot.lane == "gpu"]
        try:
            ray.get(loading, timeout=_START_TIMEOUT_S)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, LipwiseError):
                raise cause from error
            raise SetupError("worker_start", "render worker", "must load its models", str(cause)) from error
        except ray.exceptions.RayError as error:
            raise SetupError(
                "worker_start",
                "render worker",
                "must start",
                str(error).splitlines()[0],
                "Check memory and `lipwise-ray doctor`; ask for fewer --workers",
            ) from error

    def _actor(self, lane: Lane) -> Any:  # noqa: ANN401  # Ray's handles have no static type
        threads = self._threads if lane == "gpu" else 1
        device = self.device if lane == "gpu" else "cpu"
        # Embedded, the workers were counted to fit the cores, and nothing else runs. On a cluster the
        # render workers reserve theirs, so that they spread over the nodes; the others cost little.
        reserved = 0 if self._local or lane == "cpu" else 1 if self._gpu else self._threads
        options: dict[str, Any] = {
            "num_cpus": reserved,
            "max_restarts": 0,
            "max_task_retries": 0,
            "runtime_env": {"env_vars": dict.fromkeys(_THREAD_VARIABLES, str(threads))},
        }
        if lane == "gpu" and self._gpu:
            options["num_gpus"] = self._options.gpus_per_worker
        remote: Any = ray.remote(concurrency_groups={"control": 1})(_Remote)  # type: ignore[call-overload]  # missing in Ray's stubs
        return remote.options(**options).remote(self._config.state, self._config.scratch, device, threads)

    def idle(self, lane: Lane) -> list[str]:
        """Return the workers of a lane that have nothing to do; a dead one is replaced first.

        Raises:
            SetupError: Workers die again and again before they get a task.
        """
        free = [slot for slot in self._slots.values() if slot.lane == lane and slot.task is None]
        return [slot.name for slot in free if not slot.dead or self._replace(slot)]

    def _replace(self, slot: _Slot) -> bool:
        """Put a living actor into a slot; a start that fails is never charged to a task."""
        ray.kill(slot.actor, no_restart=True)
        slot.actor = self._actor(slot.lane)
        try:
            ray.get(slot.actor.pid.remote(), timeout=_REPLACE_TIMEOUT_S)
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise SetupError(
                    "worker_start",
                    f"worker {slot.name}",
                    "must start again after its death",
                    str(error).splitlines()[0],
                ) from error
            return False
        self._failed_starts = 0
        slot.dead = False
        slot.frames_now = 0
        return True

    def submit(self, worker: str, task: Task) -> None:
        """Send a task to a worker."""
        slot = self._slots[worker]
        slot.task = task
        slot.frames_before = slot.frames_now
        slot.call = slot.actor.run.remote(task.kind, task.payload)

    def poll(self, timeout_s: float) -> list[Outcome]:
        """Return the attempts that ended."""
        busy = {slot.call: slot for slot in self._slots.values() if slot.task is not None}
        if not busy:
            return []
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)
        return [self._outcome(busy[call]) for call in ready]

    def _outcome(self, slot: _Slot) -> Outcome:
        task, call = slot.task, slot.call
        assert task is not None  # only busy slots are asked
        slot.task = slot.call = None
        try:
            return Outcome(slot.name, task, ray.get(call), None)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            found = failure_of(cause)
            return Outcome(
                slot.name, task, None, Failure(found.blame, found.code, found.message, _COLOUR.sub("", str(error)))
            )
        except ray.exceptions.RayError as error:  # the process is gone, or cannot be reached any more
            slot.dead = True
            slot.probe = None
            reason = str(error).strip().splitlines()[-1]
            message = f"worker {slot.name}: must live through its task, but its process died. {reason}"
            return Outcome(slot.name, task, None, Failure("crash", "worker_died", message, str(error)))

    def frames_done(self) -> dict[str, int]:
        """Return the frames of the present tasks; asks the actors without waiting for them."""
        for slot in self._slots.values():
            if slot.dead:
                continue
            if slot.probe is not None:
                ready, _ = ray.wait([slot.probe], timeout=0)
                if not ready:
                    continue
                try:
                    slot.frames_now = ray.get(slot.probe)
                except ray.exceptions.RayError:
                    slot.probe = None  # the task's own outcome tells what happened
                    continue
            slot.probe = slot.actor.frames_done.remote()
        return {slot.name: slot.frames_now - slot.frames_before for slot in self._slots.values() if slot.task}

    def close(self) -> None:
        """Kill the actors; an embedded Ray ends with them."""
        for slot in self._slots.values():
            ray.kill(slot.actor, no_restart=True)
        self._slots.clear()
        ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def connect(address: str) -> Path | None:
    """Start an embedded Ray or join a cluster; return the embedded one's folder.

    An embedded Ray listens on loopback only; see `factory.guard_local_ray` for its token.
    """
    common: dict[str, Any] = {"log_to_driver": False, "configure_logging": True, "logging_level": logging.ERROR}
    package_root = str(Path(__file__).resolve().parents[2])
    folder = _make_folder() if address == "local" else None
    try:
        if folder is not None:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
                **common,
            )
        else:
            _knock(address)
            ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": package_root}}, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise SetupError(
            "ray",
            f"Ray at {address}",
            "must start" if address == "local" else "must be reachable",
            str(error).splitlines()[0],
            "Run `lipwise-ray doctor`, or check --address",
        ) from error
    return folder


def _knock(address: str) -> None:
    """Raise quickly where nobody listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S):
            pass


def _make_folder() -> Path:
    """Return a private folder for an embedded Ray's sockets and logs; sweep those of dead drivers.

    Socket paths must stay under 107 bytes, so the folder's own path must be short.
    """
    root = Path("/tmp")  # noqa: S108  # see above; the folder itself is private
    for old in root.glob(f"{_FOLDER_PREFIX}*"):
        owner = old.name.removeprefix(_FOLDER_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=root))


def check() -> str:
    """Start and stop an embedded Ray; return what is wrong, or an empty string."""
    try:
        folder = connect("local")
    except SetupError as error:
        return str(error)
    ray.shutdown()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return ""
