"""The routes of the API."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

import lipwise_ray
from lipwise_ray.errors import RequestError
from lipwise_ray.service.asset_record import Asset
from lipwise_ray.service.job_record import ServiceBatch
from lipwise_ray.service.problem_answer import problem_responses
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.sync_api.answers import (
    Batch,
    BatchStatus,
    BatchValidated,
    EstimatedCost,
    Generation,
    ModelInfo,
    at,
)
from lipwise_ray.service.sync_api.batch_lines import check_size
from lipwise_ray.service.sync_api.catalogue import listed_models
from lipwise_ray.service.sync_api.documents import BATCH_BODY, GENERATION_BODY
from lipwise_ray.service.sync_api.forms import FORM, read_form, request_of_form
from lipwise_ray.service.sync_api.generations import GenerationView, results_path
from lipwise_ray.service.sync_api.request import GenerationRequest, parse_request
from lipwise_ray.service.sync_api.submission import GenerationDesk

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_KEY = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_URLENCODED = "application/x-www-form-urlencoded"
_MOST_LISTED = 1000
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")
_RESULTS = results_path("{batch_id}")
Statuses = Annotated[list[str] | None, Query(description="Statuses, repeated or with commas between them.")]
Ids = Annotated[list[str] | None, Query(description="Ids, repeated or with commas between them.")]
Keyed = Annotated[str | None, Header(alias="Idempotency-Key", description="1-128 of letters, digits and ._~-")]


def _dated(text: str) -> str:
    """Return a time as it was sent; without a date it is a number, which pydantic takes for seconds since 1970."""
    if not _DATE.match(text):
        raise PydanticCustomError("datetime_parsing", "not a time with a date; send one such as 2026-11-30T18:00:00Z")
    return text


SentTime = Annotated[datetime, BeforeValidator(_dated)]
TimeBound = Annotated[SentTime | None, Query(description="A time in ISO 8601; UTC where it names no zone.")]


class _Handlers:
    """The handlers of the routes.

    Args:
        desk: What they call.
        links: Makes links that need no key.
        plain: Removes this machine's paths from texts.
    """

    def __init__(self, desk: GenerationDesk, links: SignedLinks, plain: Callable[[str], str]) -> None:
        self._desk = desk
        self._links = links
        self._plain = plain

    def _view(self, request: Request) -> GenerationView:
        return GenerationView(self._links, self._plain, request)

    def _batch(self, request: Request, batch: ServiceBatch) -> Batch:
        return self._view(request).batch(batch, self._desk.statuses(batch))

    async def create(self, request: Request, idempotency_key: Keyed = None) -> Generation:
        """Make a generation; it waits in the queue when this is answered."""
        if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
            do = "Take 1 to 128 letters, digits and ._~-"
            raise RequestError("bad_request", "the header Idempotency-Key", got="it cannot be one", do=do)
        async with self._asked(request) as (asked, sent):
            job = await run_in_threadpool(self._desk.submit, asked, idempotency_key, sent)
        return self._view(request).generation(job)

    async def get(self, request: Request, generation_id: str) -> Generation:
        """Return a generation."""
        service = self._desk.service
        # Clients look again and again: another thread would cost a quarter of the answer.
        job = service.known(generation_id) or await run_in_threadpool(service.job, generation_id)
        return self._view(request).generation(job)

    async def cancel(self, request: Request, generation_id: str) -> Generation:
        """Cancel a generation that has not ended; to cancel twice is no error."""
        return self._view(request).generation(await run_in_threadpool(self._desk.service.cancel, generation_id))

    def list(self, request: Request, status: Statuses = None, ids: Ids = None) -> list[Generation]:
        """Return generations, the newest first: 1,000 at most."""
        view = self._view(request)
        return [view.generation(job) for job in self._desk.jobs(_split(status), _split(ids), _MOST_LISTED)]

    async def cost(self, request: Request) -> list[EstimatedCost]:
        """Return the frames of a generation and its price, by the server's price list; without one it is 0."""
        async with self._asked(request) as (asked, _):
            return [await run_in_threadpool(self._desk.cost, asked)]

    async def create_batch(self, request: Request) -> Batch | BatchValidated:
        """Make a generation of each line of a file, or of none where a line cannot be done."""
        async with read_form(request, self._desk.assets, most_files=1) as form:
            fields = {name: form.getlist(name) for name in form}
            if unknown := fields.keys() - {"input", "webhook_url", "dry_run"}:
                raise RequestError("invalid_request", min(unknown), got="unknown field")
            file, dry = form.get("input"), str(form.get("dry_run") or "").lower()
            if not isinstance(file, UploadFile) or len(fields["input"]) > 1:
                raise RequestError("bad_request", "input", got="is not one file")
            if dry not in (*_TRUE, *_FALSE):
                raise RequestError("invalid_request", "dry_run", got=f"{dry[:40]!a} is neither true nor false")
            check_size(file.size or 0)  # before any of it is in memory
            data, address = await file.read(), form.get("webhook_url") or None
            if isinstance(address, UploadFile):
                raise RequestError("invalid_request", "webhook_url", got="a file, where a text belongs")
        batch = await run_in_threadpool(self._desk.submit_batch, data, address, is_dry=dry in _TRUE)
        return await run_in_threadpool(self._batch, request, batch) if batch else BatchValidated()

    async def get_batch(self, request: Request, batch_id: str) -> Batch:
        """Return a batch and how far it is."""
        batch = await run_in_threadpool(self._desk.service.batch, batch_id)
        return await run_in_threadpool(self._batch, request, batch)

    def list_batches(
        self,
        request: Request,
        status: Annotated[list[BatchStatus] | None, Query()] = None,
        created_after: TimeBound = None,
        created_before: TimeBound = None,
    ) -> list[Batch]:
        """Return batches, the newest first: 1,000 at most."""
        after, before = _utc(created_after), _utc(created_before)
        found = (
            self._batch(request, one)
            for one in self._desk.service.batches()
            if (after is None or at(one.created) > after) and (before is None or at(one.created) < before)
        )
        return [*islice((one for one in found if not status or one.status in status), _MOST_LISTED)]

    async def models(self) -> list[ModelInfo]:
        """Return the models that requests may name."""
        version = lipwise_ray.__version__
        return [
            ModelInfo(id=one.name, name=one.name, type="lipsync", version=version, description=one.description)
            for one in listed_models(self._desk.presets)
        ]

    async def results_link(self, request: Request, batch_id: str) -> RedirectResponse:
        """Lead to the results of a batch."""
        self._links.check(request)
        await run_in_threadpool(self._desk.service.batch, batch_id)
        return RedirectResponse(self._links.to(f"{results_path(batch_id)}.jsonl", request=request), 302)

    def results(self, request: Request, batch_id: str) -> Response:
        """Return the results of a batch: a JSON object a line, in the order of its requests."""
        self._links.check(request)
        batch = self._desk.service.batch(batch_id)
        jobs = self._desk.service.jobs(ids=[one.job_id for one in batch.items])
        lines: Iterator[str] = (f"{one.model_dump_json()}\n" for one in self._view(request).results(batch, jobs))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @asynccontextmanager
    async def _asked(self, request: Request) -> AsyncGenerator[tuple[GenerationRequest, list[Asset]]]:
        """Read what is asked for; the files of a request that comes to nothing go again."""
        kind, sent = request.headers.get("content-type", "").lower(), list[Asset]()
        try:
            if kind.startswith(FORM):
                async with read_form(request, self._desk.assets) as form:
                    yield await request_of_form(form, self._desk.assets, sent.append), sent
                return
            _refuse_fields(kind)
            yield await run_in_threadpool(parse_request, await request.body()), sent
        except BaseException:
            await run_in_threadpool(self._desk.forget, sent)
            raise


def router(desk: GenerationDesk, links: SignedLinks, plain: Callable[[str], str]) -> APIRouter:
    """Return the API's routes.

    Args:
        desk: What they call.
        links: Makes links that need no key.
        plain: Removes this machine's paths from texts.
    """
    handlers, found = _Handlers(desk, links, plain), APIRouter(tags=["generations"])

    def add(
        method: Literal["GET", "POST"],
        path: str,
        handler: Callable[..., Any],
        *statuses: int,
        status: int = 200,
        body: dict[str, Any] | None = None,
    ) -> None:
        name = f"{handler.__name__}_{path.rpartition('/')[2]}" if "estimate" in path else handler.__name__
        found.add_api_route(
            path,
            handler,
            methods=[method],
            status_code=status,
            responses=problem_responses(*statuses),
            openapi_extra=body,
            operation_id=name,
        )

    bodied = (400, 404, 408, 409, 413, 422, 507)
    add("POST", "/v2/generate", handlers.create, *bodied, status=201, body=GENERATION_BODY)
    add("GET", "/v2/generate/{generation_id}", handlers.get, 404)
    add("POST", "/v2/generate/{generation_id}/cancel", handlers.cancel, 404, 409)
    add("GET", "/v2/generations", handlers.list, 422)
    add("POST", "/v2/analyze/cost", handlers.cost, *bodied, body=GENERATION_BODY)
    add("POST", "/v2/generations/estimate", handlers.cost, *bodied, body=GENERATION_BODY)
    add("POST", "/v2/batch", handlers.create_batch, *bodied, status=201, body=BATCH_BODY)
    add("GET", "/v2/batch", handlers.list_batches, 422)
    add("GET", "/v2/batch/{batch_id}", handlers.get_batch, 404)
    add("GET", "/v2/models", handlers.models)
    found.add_api_route(_RESULTS, handlers.results_link, methods=["GET"], include_in_schema=False)
    found.add_api_route(f"{_RESULTS}.jsonl", handlers.results, methods=["GET"], include_in_schema=False)
    return found


def _refuse_fields(content_type: str) -> None:
    if content_type.startswith(_URLENCODED):
        do = "Send JSON, or a form with files whose other fields are JSON"
        raise RequestError("bad_request", "the body", got="is a form without files", do=do)


def _split(values: list[str] | None) -> list[str]:
    return [part for value in values or [] for part in value.split(",") if part]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
