"""The door of programs that speak sync.so's API."""

from __future__ import annotations

from fastapi import APIRouter

from lipwise_ray.runs.costs import Prices
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor
from lipwise_ray.service.job_record import ServiceBatch, ServiceJob
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.sync_api.box_tracks import BoxTracks
from lipwise_ray.service.sync_api.costs import GenerationCosts
from lipwise_ray.service.sync_api.feasibility import Feasibility
from lipwise_ray.service.sync_api.generations import DOOR, GenerationView
from lipwise_ray.service.sync_api.routes import router
from lipwise_ray.service.sync_api.submission import GenerationDesk
from lipwise_ray.service.upload_reading import with_uploads
from lipwise_ray.service.web_errors import PlainWords

_TRACKS = "tracks"


class SyncDoor:
    """The API's addresses, and what its clients are told of ends.

    Attributes:
        name: Its name, as jobs have it in ``door``.
        router: Its addresses.

    Args:
        service: The queue.
        assets: Files that clients sent.
        links: Makes links that need no key.
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """

    def __init__(
        self,
        service: Service,
        assets: AssetStore,
        links: SignedLinks,
        prices: Prices | None = None,
        models: str | None = None,
    ) -> None:
        plain = PlainWords(service.folders)
        self._desk = desk = GenerationDesk(
            service,
            assets,
            Feasibility(service.source, service.uploads, models),
            GenerationCosts(
                with_uploads(service.source, str(service.uploads)),
                service.store.address,
                service.side_work.estimate,
                prices,
            ),
            BoxTracks(service.uploads / _TRACKS, service.side_work.frames),
        )
        self.name: str = DOOR
        self.router: APIRouter = router(desk, links, plain)
        self._view = GenerationView(links, plain)

    def told_of_job(self, job: ServiceJob) -> bytes:
        """Return the body of the call that tells a client of a generation's end."""
        return self._view.generation(job).model_dump_json().encode()

    def told_of_batch(self, batch: ServiceBatch) -> bytes:
        """Return the body of the call that tells a client of the end of a batch."""
        return self._view.batch(batch, self._desk.statuses(batch)).model_dump_json().encode()


def sync_door(prices: Prices | None = None, models: str | None = None) -> MakeDoor:
    """Return the maker of this door.

    Args:
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """
    return lambda service, assets, links: SyncDoor(service, assets, links, prices, models)
