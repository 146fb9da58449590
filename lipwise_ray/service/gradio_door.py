"""Gradio's page as a door of the service, at ``/gradio``: loaded when it is first asked for."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor
from lipwise_ray.service.gradio_page import DOOR, bounds, is_gradio_installed, make_page, theme
from lipwise_ray.service.job_record import ServiceBatch, ServiceJob
from lipwise_ray.service.page_policy import PagePolicy
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks

_AT = "/gradio"
_ABSENT = "This server has no Gradio page. Run `pip install 'lipwise-ray[gradio]'` there, and start it again."


class GradioDoor:
    """The page's addresses.

    Attributes:
        name: Its name, as jobs have it in ``door``.
        router: Its addresses.

    Args:
        service: The queue.
        assets: Takes the files that are sent.
    """

    name = DOOR

    def __init__(self, service: Service, assets: AssetStore) -> None:
        self.router = APIRouter()
        served = _ServedPage(service, assets)
        self.router.routes += [Route(_AT, served), Route(_AT + "/{path:path}", served)]

    def told_of_job(self, job: ServiceJob) -> bytes | None:
        """Return None: the page watches."""
        del job

    def told_of_batch(self, batch: ServiceBatch) -> bytes | None:
        """Return None: the page makes none."""
        del batch


def gradio_door() -> MakeDoor:
    """Return the maker of this door."""

    def make(service: Service, assets: AssetStore, links: SignedLinks) -> GradioDoor:
        del links
        return GradioDoor(service, assets)

    return make


class _ServedPage:
    """The page as an application; Gradio takes seconds to load, and many who serve never ask for it."""

    def __init__(self, service: Service, assets: AssetStore) -> None:
        self._service = service
        self._assets = assets
        self._app: ASGIApp | None = None
        self._loading = asyncio.Lock()
        self._life: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if not is_gradio_installed():
            raise HTTPException(404, _ABSENT)
        if scope["path"].removeprefix(scope.get("root_path", "")) == _AT:
            await RedirectResponse(f"{scope.get('root_path', '')}{_AT}/")(scope, receive, send)
            return
        async with self._loading:
            if self._app is None:
                inner, begun = await run_in_threadpool(self._load), asyncio.Event()
                self._life = asyncio.create_task(_live(inner, begun))
                await begun.wait()
                self._app = PagePolicy(inner)
        await self._app(scope, receive, send)

    def _load(self) -> FastAPI:
        page = make_page(self._service, self._assets)
        from gradio import mount_gradio_app

        inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        mount_gradio_app(inner, page, _AT, theme=theme(), **bounds(page, self._assets.most_bytes))
        return inner


async def _live(app: FastAPI, begun: asyncio.Event) -> None:
    """Have an application live until the server's loop ends, which cancels this task.

    Args:
        app: The application.
        begun: Set once it is up.
    """
    async with app.router.lifespan_context(app):
        begun.set()
        await asyncio.Event().wait()
