"""The studio as a door of the service: its pages under one router."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lipwise_ray.runs.costs import Prices
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor
from lipwise_ray.service.job_record import ServiceBatch, ServiceJob
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.studio import (
    cluster_page,
    key_page,
    live_routes,
    models_page,
    queue_page,
    row_page,
    runs_page,
)
from lipwise_ray.service.studio.new_page import NewPage
from lipwise_ray.service.studio.refusal_page import refusal_page
from lipwise_ray.service.studio.shell import StudioShell, static_files
from lipwise_ray.service.web_errors import PlainWords, Refusal

NAME = "studio"


class StudioDoor:
    """The pages.

    Attributes:
        name: Its name, as jobs have it in ``door``.
        router: Its addresses.

    Args:
        service: The queue.
        assets: Files that clients sent.
        links: Makes links that need no key; the pages' own go with the key.
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """

    name = NAME

    def __init__(
        self,
        service: Service,
        assets: AssetStore,
        links: SignedLinks,
        prices: Prices | None = None,
        models: Path | None = None,
    ) -> None:
        del links
        plain = PlainWords(service.folders)
        self._shell = shell = StudioShell(service, plain)
        self.router = APIRouter(include_in_schema=False)
        for routes in (
            static_files(),
            NewPage(service, assets, shell, plain, prices, models).router,
            queue_page.router(service, shell),
            row_page.router(service, shell),
            runs_page.router(service, shell, plain),
            live_routes.router(service),
            models_page.router(service, shell, models),
            cluster_page.router(service, shell),
        ):
            self.router.include_router(routes)

    def refusal_page(self, request: Request, refusal: Refusal) -> Response:
        """Return the page that tells of a refusal."""
        return refusal_page(request, self._shell, refusal)

    def key_router(self, options: ServerOptions) -> APIRouter:
        """Return the address at which browsers give the key."""
        return key_page.router(self._shell, options)

    def told_of_job(self, job: ServiceJob) -> bytes | None:
        """Return None: pages listen."""
        del job

    def told_of_batch(self, batch: ServiceBatch) -> bytes | None:
        """Return None: pages listen."""
        del batch


def studio_door(prices: Prices | None = None, models: Path | None = None) -> MakeDoor:
    """Return the maker of this door.

    Args:
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """
    return lambda service, assets, links: StudioDoor(service, assets, links, prices, models)
