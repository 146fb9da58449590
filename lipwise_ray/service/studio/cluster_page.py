"""Page of the cluster: this server, the drivers at work, their machines and workers, and the versions of what runs."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import psutil
from fastapi import APIRouter, Request
from fastapi.responses import Response

import lipwise_ray
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.state.shapes import LeaseRecord, WorkerMemory, typed
from lipwise_ray.state.shards import holders

_HERE = "Cluster"
_PACKAGES = ("torch", "onnxruntime", "openvino", "av", "ray", "opencv-python-headless", "numpy", "fastapi")
_UNKNOWN = "-"
_MIB, _GIB = 1 << 20, 1 << 30
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker.

    Attributes:
        name: The engine's name of it.
        node: Its node; empty where nobody said.
        memory: Memory that it told of; None where it told of none yet.
        task: Its task; None while it has none.
    """

    name: str
    node: str
    memory: WorkerMemory | None
    task: LeaseRecord | None


@dataclass(frozen=True, slots=True)
class DriverLine:
    """A driver at work on the state.

    Attributes:
        host, pid: Its machine and process.
        run_id: The run that it works on.
        loading: Workers that fetch and load their models.
        rss_bytes: Resident memory of its process; 0 where it runs elsewhere.
        workers: Workers that have a task, or told of their memory.
    """

    host: str
    pid: int
    run_id: str
    loading: int
    rss_bytes: int
    workers: list[WorkerLine]

    @property
    def nodes(self) -> dict[str, list[WorkerLine]]:
        """The workers by their node, by its name."""
        found: dict[str, list[WorkerLine]] = {}
        for worker in self.workers:
            found.setdefault(worker.node or "here", []).append(worker)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """Memory of this server's machine and process, in bytes."""

    host: str
    rss_bytes: int
    used_bytes: int
    total_bytes: int


def router(service: Service, shell: StudioShell) -> APIRouter:
    """Return the routes of the page.

    Args:
        service: The service, whose state tells who is at work.
        shell: Makes pages.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/cluster")
    def cluster(request: Request) -> Response:
        engine = service.settings.engine
        values = {
            "drivers": [_driver(record) for _, record in holders(service.store)],
            "engine": {"kind": engine.kind, "address": engine.address, "device": engine.device},
            "counts": service.counts(),
            "server": _server(),
            "size": memory_size,
            "of": memory_use,
            "versions": _versions(),
        }
        if request.headers.get("hx-request"):
            return shell.fragment(request, "cluster_now.html.jinja", values)
        return shell.page(request, "cluster.html.jinja", _HERE, values)

    return routes


def memory_size(count: int) -> str:
    """Return bytes for people; a dash where they are not known."""
    if not count:
        return _UNKNOWN
    return f"{count / _MIB:.0f} MiB" if count < _GIB else f"{count / _GIB:.1f} GiB"


def memory_use(used: int, total: int) -> str:
    """Return used bytes of all, the unit named once where both have it; a dash where they are not known."""
    if not total:
        return _UNKNOWN
    part, whole = memory_size(used) if used else "0", memory_size(total)
    return f"{part.removesuffix(whole[-4:])} of {whole}"


def _driver(record: Mapping[str, object]) -> DriverLine:
    tasks = {one.worker: one for one in _records(record.get("running"), LeaseRecord)}
    memory = {one.worker: one for one in _records(record.get("memory"), WorkerMemory)}
    loading, pid = record.get("loading"), record.get("pid")
    host, number = str(record.get("host", "")), pid if isinstance(pid, int) else 0
    return DriverLine(
        host,
        number,
        str(record.get("run_id", "")),
        loading if isinstance(loading, int) else 0,
        _rss_bytes(number) if host == platform.node() else 0,
        [_worker(name, memory.get(name), tasks.get(name)) for name in sorted({*tasks, *memory})],
    )


def _worker(name: str, memory: WorkerMemory | None, task: LeaseRecord | None) -> WorkerLine:
    return WorkerLine(name, memory.node if memory else task.node if task else "", memory, task)


def _records(values: object, kind: type[_Record]) -> list[_Record]:
    """Return those records of a beat that are such: one of another version's may not be."""
    return [one for value in (values if isinstance(values, list) else []) if (one := typed(value, kind)) is not None]


def _server() -> ServerMemory:
    machine = psutil.virtual_memory()
    return ServerMemory(platform.node(), _rss_bytes(None), machine.total - machine.available, machine.total)


def _rss_bytes(pid: int | None) -> int:
    """Return the resident memory of a process of this machine, None for this one; 0 where it has ended."""
    try:
        return psutil.Process(pid).memory_info().rss
    except (psutil.Error, ValueError):
        return 0


def _versions() -> list[tuple[str, str]]:
    found = [("lipwise-ray", lipwise_ray.__version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return found
