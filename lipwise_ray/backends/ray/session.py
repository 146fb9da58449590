"""Starting an embedded Ray or joining a cluster, and what the cluster says of its nodes."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray._private import services
from ray._private import worker as ray_worker
from ray.job_config import JobConfig

from lipwise_ray.backends.ray import last_exit
from lipwise_ray.backends.ray.folder import make_folder, remove_folder
from lipwise_ray.backends.ray.local_processes import without_services
from lipwise_ray.backends.ray.processes import SAFE_PATH, OwnFoldersOnly, apart, end_sessions, our_handlers
from lipwise_ray.cpu_quota import usable_cores
from lipwise_ray.errors import EngineError, SetupError
from lipwise_ray.malloc_arenas import few_arenas
from lipwise_ray.resources import import_root
from lipwise_ray.storage.address import is_web

_VITAL = ("gcs_server", "raylet")
_CLIENT, _CLIENT_PORT = "ray://", 10001
_KNOCK_TIMEOUT_S = 10.0
_HEAD_TIMEOUT_S = 5.0
_HEAD_AWAY_S = 30.0
"""So long a cluster's head may be away; Ray itself would wait, and then end this process without a word."""

_ALIVE_TIMEOUT_S = 2.0
ROUNDING = 1e-6
"""Of sums of parts of GPUs."""

_NODES_FOR_S = 1.0
_OBJECT_STORE_BYTES = 100 << 20  # descriptors only: the smallest store Ray is happy with
_TRIES = 2
"""Ray gives its own processes 30 s, which a busy machine may overstep once."""

_ONE_RAY = threading.Lock()
"""A process has one Ray, which its threads do not start and leave at once."""

_ENDED_BY_ITSELF = threading.Event()
"""Set while this process is joined, as far as Ray knows, to one that is no more and that nobody uses."""

_MEANINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("timed out", "timeout", "deadline exceeded"),
        f"no answer in time, {_TRIES} times",
        "The machine may be busy or short of memory: end other work, then run it again",
    ),
    (("no space left", "disk quota"), "no room on the disk", "Make room where Ray keeps its files (/tmp)"),
    (
        ("too many open files", "resource temporarily unavailable", "can't start new thread"),
        "a limit of this system",
        "Raise the limits of processes and open files (ulimit -u, ulimit -n)",
    ),
    (("cannot allocate memory",), "no memory left", "End other work, or take a machine with more"),
    (("version mismatch",), "another version of Python or Ray over there", "Install the cluster's versions here"),
    (("could not find any running ray instance",), "no cluster here", "Start one, or name its --address"),
)
"""Words of Ray's errors, what they mean, and what to do."""


_KIND = "accelerator_type:"
"""Before the name of a node's GPUs, in the names of its resources."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster that is alive as far as Ray knows.

    Attributes:
        id: Ray's id of it.
        cpus, gpus: Resources that Ray has there, in use or not.
        accelerator: Ray's name of its GPUs; empty where it has none, or does not know them.
        address, port: Its address, and the port of its raylet.
        draining: It takes no more work, as it is about to go.
    """

    id: str
    cpus: float
    gpus: float
    address: str
    port: int
    draining: bool
    accelerator: str = ""


def is_leaving(node: Node | None) -> bool:
    """Tell whether a node is gone, or about to go."""
    return node is None or node.draining


class Nodes:
    """The nodes of a cluster, asked for once a second at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Node] = {}
        self._asked_s = -_NODES_FOR_S
        self._silent_since_s: float | None = None
        self.head_is_lost = False
        """Nothing answers any more, and Ray is not to be asked again."""

    @property
    def head_is_silent(self) -> bool:
        """True where the head did not answer when it was last asked: any call to Ray would wait."""
        return self._silent_since_s is not None

    def alive(self, *, fresh: bool = False) -> dict[str, Node]:
        """Return the living nodes by id; those of before while the head does not answer.

        Raises:
            EngineError: The embedded Ray has ended, or the cluster's head stays away.
        """
        now = self._clock()
        if fresh or now - self._asked_s >= _NODES_FOR_S:
            must_live()
            self._asked_s = now
            if not self._sees_the_head():
                return self._known
            draining = _draining()
            self._known = {
                one["NodeID"]: Node(
                    one["NodeID"],
                    float(one["Resources"].get("CPU", 0.0)),
                    float(one["Resources"].get("GPU", 0.0)),
                    one["NodeManagerAddress"],
                    int(one["NodeManagerPort"]),
                    one["NodeID"] in draining,
                    next((name[len(_KIND) :] for name in one["Resources"] if name.startswith(_KIND)), ""),
                )
                for one in ray.nodes()
                if one["Alive"]
            }
        return self._known

    def _sees_the_head(self) -> bool:
        """Tell whether the head listens; what asks Ray while it does not, waits until Ray ends the process."""
        begun_s = self._clock()
        if self.head_is_lost or not _answers(_head_address()):
            if self._silent_since_s is None:
                self._silent_since_s = begun_s
            away_s = self._clock() - self._silent_since_s
            self.head_is_lost = self.head_is_lost or away_s > _HEAD_AWAY_S
            if self.head_is_lost:
                do = "What is done is kept: run the same command again once the cluster is back"
                raise EngineError(
                    "head_lost", f"Ray at {_head_address()}", got=f"has not answered for {away_s:.0f} s", do=do
                )
            return False
        self._silent_since_s = None
        return True

    def gpu_slots(self, fraction: float) -> int:
        """Return the number of workers that fit, each with this fraction of a GPU."""
        return sum(int(node.gpus / fraction + ROUNDING) for node in self.alive().values())

    def is_gone(self, node_id: str) -> bool:
        """Tell whether a node is dead or about to go. A machine that vanished is not known as dead yet: knock there."""
        node = self.alive(fresh=True).get(node_id)
        if node is None or node.draining:
            return True
        try:
            with socket.create_connection((node.address, node.port), timeout=_ALIVE_TIMEOUT_S):
                return False
        except OSError:
            return True


def _head_address() -> str:
    """Return the address of the head of a cluster that was joined; empty where there is none to look for."""
    node = _node_here()
    return str(node.gcs_address) if node is not None else ""


def _answers(address: str) -> bool:
    if not address:  # by `ray://` the client's own connection tells
        return True
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_HEAD_TIMEOUT_S):
            return True
    except OSError:
        return False


def free_resources(node_id: str) -> dict[str, float]:
    """Return the resources of a node that nobody has reserved."""
    from ray._private.state import available_resources_per_node  # private, as the next one is

    return available_resources_per_node().get(node_id, {})


def _draining() -> set[str]:
    # Private, but what Ray Data and Ray Train use for the same purpose; there is no public way.
    from ray._private.state import state

    try:
        return set(state.get_draining_nodes())
    except (AttributeError, ray.exceptions.RayError):
        return set()


def connect(address: str) -> Path | None:
    """Start an embedded Ray or join a cluster; return the embedded one's folder.

    An embedded Ray listens on loopback only; see `environment.guard_local_ray` for its token.

    Raises:
        SetupError: It cannot be started or reached, or this process already uses Ray: another run, or its program.
    """
    with _ONE_RAY:
        if ray.is_initialized() and not _ENDED_BY_ITSELF.is_set():  # what is used would end with ours
            do = "Wait for the other run or call ray.shutdown(), or run this in a process of its own"
            raise SetupError("ray_in_use", f"Ray at {address}", got="this process already uses Ray", do=do)
        folder = _connect(address)
        _ENDED_BY_ITSELF.clear()
        return folder


def _connect(address: str) -> Path | None:
    if address != "local":
        try:
            _knock(_found(address))
        except OSError as error:
            raise _not_started(address, error) from error
    failed: Exception | None = None
    for _ in range(_TRIES):
        folder = make_folder() if address == "local" else None
        try:
            _init(address, folder)
        except Exception as error:  # noqa: BLE001  # of Ray's errors while it starts some have no class of their own
            failed = error
        else:
            return folder
    assert failed is not None
    raise _not_started(address, failed) from failed


def _found(address: str) -> str:
    """Return the address that Ray will go to: `auto` stands for what the environment or a node of this machine names.

    Raises:
        SetupError: It is a dashboard.
        OSError: There is no Ray here.
    """
    where = services.get_ray_address_from_environment("auto", None) if address == "auto" else address
    if is_web(where):
        shown = address if where == address else f"RAY_ADDRESS={where}"
        raise SetupError(
            "address",
            shown,
            got="is the address of a dashboard",
            must="auto or ray://HOST:PORT is needed here",
            do="Only `submit` takes a dashboard's",
        )
    return where


def _not_started(address: str, error: Exception) -> SetupError:
    """Turn an error of Ray's start into one that names its cause and a remedy."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    got, do = said, "Run `lipwise-ray doctor`" if address == "local" else "Check --address"
    for words, meaning, advice in _MEANINGS:
        if any(word in str(error).lower() for word in words):
            got, do = f"{meaning} ({said})", advice
            break
    failed = "did not start" if address == "local" else "cannot be joined"
    return SetupError("ray", f"Ray at {address}", got=f"{failed}: {got}", do=do)


def _init(address: str, folder: Path | None) -> None:
    """Start or join; what was started for a Ray that did not come up is ended."""
    with apart() as started:
        try:
            _ask_ray(address, folder)
        except BaseException:
            with suppress(Exception):  # Ray is half there; what kept it from starting is told
                ray.shutdown()
            end_sessions({process.pid for process in started})
            for process in started:
                process.wait()
            if folder is not None:
                remove_folder(folder)
            raise


def _ask_ray(address: str, folder: Path | None) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "configure_logging": True, "logging_level": logging.ERROR}
    if folder is not None:
        with without_services():
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=usable_cores(),  # Ray's own count knows the outermost group's quota alone
                object_store_memory=_OBJECT_STORE_BYTES,
                job_config=OwnFoldersOnly(),
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
                **common,
            )
        return
    # By `ray://` the job is made over there, by a class that is known there.
    kind = JobConfig if address.startswith("ray://") else OwnFoldersOnly
    here = kind(_py_driver_sys_path=[str(import_root())])
    variables = few_arenas(os.environ) | SAFE_PATH  # they go before those that nodes were started with
    ray.init(address=address, job_config=here, runtime_env={"env_vars": variables}, **common)


def _knock(address: str) -> None:
    """Raise quickly where nobody listens; Ray itself would try for minutes.

    Raises:
        SetupError: There is no host in the address of a client.
        OSError: Nobody listens there.
    """
    is_client = address.startswith(_CLIENT)
    rest = address.removeprefix(_CLIENT).partition("/")[0]
    host, _, port = (rest if ":" in rest else f"{rest}:{_CLIENT_PORT}" if is_client else rest).rpartition(":")
    host = host.strip("[]")
    if is_client and not (host and port.isdigit()):
        raise SetupError(
            "address", "--address", got=f"{address!r} names no host and port of a cluster", do="Write ray://HOST:PORT"
        )
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S):
            pass


def ray_logs() -> str:
    """Return the folder of the logs of this machine's part of Ray, empty where that cannot be told."""
    node = _node_here()
    return str(node.get_logs_dir_path()) if node is not None else ""


def _node_here() -> Any:  # noqa: ANN401  # Ray's own, without static types
    return ray_worker._global_node  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # there is no public way


def ended_processes() -> list[str]:
    """Return the processes of an embedded Ray that ended, of those without which a call into Ray never returns."""
    node = _node_here()
    return [kind for kind, _ in node.dead_processes() if kind in _VITAL] if node is not None else []


def must_live() -> None:
    """Check the embedded Ray before it is called: without its own processes a call waits a minute and ends the program.

    Raises:
        EngineError: One of them has ended, killed with this program's others or by a machine short of memory.
    """
    ended = ended_processes()
    if ended:
        names = ", ".join(ended)
        do = "What is done is kept: run the same command again"
        raise EngineError("ray_ended", "Ray at local", got=f"its {names} ended while the run was at work", do=do)


def leave(folder: Path | None, *, is_lost: bool = False) -> None:
    """Leave the cluster, or end the embedded Ray, with workers that hang or are stopped, and remove its folder.

    Args:
        folder: The embedded Ray's.
        is_lost: Nobody would answer a farewell.
    """
    node = _node_here()
    started = [one.process.pid for all_of in node.all_processes.values() for one in all_of] if node and folder else []
    if is_lost or ended_processes():
        last_exit.must_be_at_once("Ray's own threads, which nothing stops any more, crash as the interpreter ends")
        atexit.unregister(ray_worker.shutdown)  # it would wait for an answer, and then end the program by its own code
        _ENDED_BY_ITSELF.set()
    else:
        with _ONE_RAY, our_handlers():
            ray.shutdown()
    end_sessions(set(started))
    if folder is not None:
        remove_folder(folder)


def check() -> str:
    """Start and stop an embedded Ray; return what is wrong, or an empty string."""
    try:
        folder = connect("local")
    except SetupError as error:
        return str(error)
    leave(folder)
    return ""
