"""Page of the models: every published checkpoint, whether it is here, its terms, and how to get it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lipwise_ray.models.registry import RegistryEntry, how_to_get
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.shell import StudioShell

_HERE = "Models"


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A published checkpoint in the list.

    Attributes:
        name: The registry's name.
        entry: What the registry says of it.
        is_here: It is installed, or workers can fetch it.
        advice: How to get it; empty for one that is here.
    """

    name: str
    entry: RegistryEntry
    is_here: bool
    advice: str


def router(service: Service, shell: StudioShell, models: Path | None) -> APIRouter:
    """Return the routes of the page.

    Args:
        service: The service, whose settings say where checkpoints are.
        shell: Makes pages.
        models: Folder of pulled checkpoints; None for the usual one.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/models")
    def show(request: Request) -> Response:
        registry = registry_of(service.settings, models)
        by_network: dict[str, list[ModelLine]] = {}
        for name, entry in registry.entries.items():
            is_here = registry.installed(name)
            line = ModelLine(name, entry, is_here, "" if is_here else how_to_get(name, entry))
            by_network.setdefault(entry.network, []).append(line)
        lines = [line for found in by_network.values() for line in found]
        values = {"by_network": by_network, "installed": sum(line.is_here for line in lines), "total": len(lines)}
        return shell.page(request, "models.html.jinja", _HERE, values)

    return routes
