"""Page of the cluster: the driver, its workers, their tasks, and the versions of what they run."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

import lipwise_ray
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.state.shapes import LeaseRecord, typed
from lipwise_ray.state.shards import holders

_HERE = "Cluster"
_PACKAGES = ("torch", "onnxruntime", "openvino", "av", "ray", "opencv-python-headless", "numpy", "fastapi")


@dataclass(frozen=True, slots=True)
class DriverLine:
    """A driver at work on the state.

    Attributes:
        host, pid: Its machine and process.
        run_id: The run that it works on.
        loading: Workers that fetch and load their models.
        tasks: Tasks that are handed out.
    """

    host: str
    pid: int
    run_id: str
    loading: int
    tasks: list[LeaseRecord]

    @property
    def nodes(self) -> dict[str, list[LeaseRecord]]:
        """The tasks by the node that they run on."""
        found: dict[str, list[LeaseRecord]] = {}
        for task in self.tasks:
            found.setdefault(task.node or "here", []).append(task)
        return found


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
            "drivers": _drivers(service),
            "engine": {"kind": engine.kind, "address": engine.address, "device": engine.device},
            "counts": service.counts(),
            "versions": _versions(),
        }
        if request.headers.get("hx-request"):
            return shell.fragment(request, "cluster_now.html.jinja", values)
        return shell.page(request, "cluster.html.jinja", _HERE, values)

    return routes


def _drivers(service: Service) -> list[DriverLine]:
    drivers: list[DriverLine] = []
    for _, record in holders(service.store):
        running = record.get("running")
        tasks = [task for one in (running if isinstance(running, list) else []) if (task := typed(one, LeaseRecord))]
        loading, pid = record.get("loading"), record.get("pid")
        drivers.append(
            DriverLine(
                str(record.get("host", "")),
                pid if isinstance(pid, int) else 0,
                str(record.get("run_id", "")),
                loading if isinstance(loading, int) else 0,
                tasks,
            )
        )
    return drivers


def _versions() -> list[tuple[str, str]]:
    found = [("lipwise-ray", lipwise_ray.__version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return found
