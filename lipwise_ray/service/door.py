"""A door: a way in for programs or people, with its own addresses and its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.job_record import ServiceBatch, ServiceJob
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.web_errors import Refusal


class Door(Protocol):
    """A way in.

    Attributes:
        name: Its name, as jobs have it in ``door``.
        router: Its addresses.
    """

    name: str
    router: APIRouter

    def told_of_job(self, job: ServiceJob) -> bytes | None:
        """Return the body of the call that tells a client of a job's end; None where it is not told."""
        ...

    def told_of_batch(self, batch: ServiceBatch) -> bytes | None:
        """Return the body of the call that tells a client of the end of a batch; None where it is not told."""
        ...


@runtime_checkable
class PageDoor(Protocol):
    """A door for people, whose pages tell of what is refused, whichever address it was, and ask for the key."""

    def refusal_page(self, request: Request, refusal: Refusal) -> Response:
        """Return the page that tells of a refusal."""
        ...

    def key_router(self, options: ServerOptions) -> APIRouter:
        """Return the address at which browsers give the key."""
        ...


MakeDoor: TypeAlias = Callable[[Service, AssetStore, SignedLinks], Door]
