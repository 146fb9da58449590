"""The web application of the service."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from pydantic import JsonValue

import lipwise_ray
from lipwise_ray.errors import LipwiseError
from lipwise_ray.service.asset_routes import AssetRoutes
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor, PageDoor
from lipwise_ray.service.ending_calls import EndingCalls
from lipwise_ray.service.event_hub import EventHub
from lipwise_ray.service.event_routes import EventRoutes
from lipwise_ray.service.gate import Gate
from lipwise_ray.service.health_routes import health_router
from lipwise_ray.service.job_record import UNFINISHED
from lipwise_ray.service.output_routes import output_router
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service
from lipwise_ray.service.service_metrics import ServiceMetrics
from lipwise_ray.service.side_work import MOST_ASKING
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.web_errors import ErrorAnswers, PlainWords, add_error_answers

_LOG = logging.getLogger("lipwise_ray")
_SWEPT_S = 3600.0


class WebApp:
    """The web application and what lives as long as it does.

    It opens no addresses to pages of other sites (no CORS), and has no pages of documentation, which would load from
    elsewhere; ``/openapi.json`` describes it.

    Attributes:
        asgi: What a server serves.
        start_error: Fault for which it did not begin, or None.

    Args:
        service: The queue.
        assets: Files that clients sent.
        options: Its options.
        doors: The doors.
        webhook_secret: Shared with those who are told of ends.
    """

    def __init__(
        self,
        service: Service,
        assets: AssetStore,
        options: ServerOptions,
        doors: Sequence[MakeDoor],
        webhook_secret: str,
    ) -> None:
        self._service = service
        self._assets = assets
        self._options = options
        self._secret = webhook_secret
        self._is_draining = False
        self._hub = EventHub(options.listeners)
        self._calls: EndingCalls | None = None
        self.start_error: Exception | None = None
        links = SignedLinks(options.access.token, options.base_url, options.link_s, is_public=options.is_public)
        self._doors = [make(service, assets, links) for make in doors]
        self._plain = PlainWords(options.folders)
        metrics = self._metrics()
        self.asgi = FastAPI(
            title="lipwise-ray",
            version=lipwise_ray.__version__,
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
        )
        pages = next((door for door in self._doors if isinstance(door, PageDoor)), None)
        answers = ErrorAnswers(self._plain, pages.refusal_page if pages else None)
        add_error_answers(self.asgi, answers)
        self.asgi.add_middleware(Gate, options=options, answers=answers, count=metrics.count)
        for router in (
            health_router(self._problem, metrics),
            AssetRoutes(assets, links, self._reads).router,
            output_router(service, links),
            EventRoutes(service, self._hub).router,
            *(door.router for door in self._doors),
            *((pages.key_router(options),) if pages else ()),
        ):
            self.asgi.include_router(router)

    def drain(self) -> None:
        """Say from now on that no job can be done; called before the queue is closed."""
        self._is_draining = True

    def end_streams(self) -> None:
        """End every stream of events, for which a server would wait; called in the loop's thread."""
        self._hub.close()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncGenerator[None]:
        del app
        current_default_thread_limiter().total_tokens += MOST_ASKING
        try:
            self._hub.open(self._service.listen)
            self._calls = await run_in_threadpool(EndingCalls, self._service, self._doors, self._secret)
        except Exception as error:
            self.start_error = error  # the server only says that there was one
            raise
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            self._hub.close()
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await run_in_threadpool(self._calls.close)

    async def _sweep(self) -> None:
        while True:
            with suppress(LipwiseError):  # a disk or store that is away: in an hour it is tried again
                await run_in_threadpool(self._sweep_once)
            await asyncio.sleep(_SWEPT_S)

    def _sweep_once(self) -> None:
        if gone := self._assets.expire(self._options.keep_s, self._reads_now()):
            _LOG.info("%d files that clients sent were removed: nobody needed them any more", gone)
        if self._calls is not None:
            self._calls.forget(self._options.keep_s)

    def _problem(self) -> str:
        return "This server is about to stop." if self._is_draining else self._plain(self._service.problem)

    def _reads(self, path: str) -> bool:
        return self._reads_now()(path)

    def _reads_now(self) -> Callable[[str], bool]:
        """Return a test of whether a job that is unfinished now reads a path."""
        return frozenset(
            text for job in self._service.jobs(UNFINISHED) for value in job.columns.values() for text in _texts(value)
        ).__contains__

    def _metrics(self) -> ServiceMetrics:
        file = self._service.settings.engine.metrics_file
        return ServiceMetrics(
            jobs=lambda: {**self._service.counts()},
            gauges={
                "queue_limit": ("Jobs that may be unfinished.", lambda: self._service.settings.service.queue),
                "ready": ("1 while jobs can be done.", lambda: float(not self._problem())),
                "queue_age_seconds": ("How long the oldest job that waits has waited; 0 for none.", self._queue_age_s),
                "listeners": ("Streams of events that are open.", lambda: self._hub.listeners),
                "webhooks_owed": ("Calls that are still to be made.", lambda: self._calls.owed if self._calls else 0),
            },
            run_file=Path(file) if file else None,
        )

    def _queue_age_s(self) -> float:
        return max((time.time() - job.created for job in self._service.jobs(("pending",))), default=0.0)


def _texts(value: JsonValue) -> list[str]:
    """Return every text in a value."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in _texts(one)]
