"""Files that clients send: announced, sent in as many parts as it takes, looked at, listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from lipwise_ray.errors import RequestError
from lipwise_ray.service.asset_answers import (
    FILES,
    AssetAnswer,
    AssetRequest,
    AssetsAnswer,
    UploadAnswer,
    UploadProgress,
    UploadRequest,
    asset_answer,
    media_type,
)
from lipwise_ray.service.asset_page import AssetOrder
from lipwise_ray.service.asset_record import AssetKind
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.problem_answer import problem_responses
from lipwise_ray.service.sent_files import SENT_RESPONSES, sent_file
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.upload import Upload
from lipwise_ray.service.upload_range import UploadRange, upload_range

UPLOADS = "/v2/assets/uploads"
"""Beginning of the addresses to which files are sent."""

_AT_ONCE_BYTES = 1 << 20
_MOST_ITEMS = 100
_KINDS: tuple[AssetKind, ...] = ("VIDEO", "AUDIO", "IMAGE")


class AssetRoutes:
    """The addresses of files that clients send.

    Attributes:
        router: Them.

    Args:
        assets: The files.
        links: Makes links and checks them.
        in_use: Tells of a path whether an unfinished job reads it.
    """

    def __init__(self, assets: AssetStore, links: SignedLinks, in_use: Callable[[str], bool]) -> None:
        self._assets = assets
        self._links = links
        self._in_use = in_use
        self.router = router = APIRouter(tags=["assets"])
        bodied = (400, 408, 413, 422, 507)
        router.post("/v2/assets/upload", responses=problem_responses(*bodied))(self.announce)
        router.put(
            f"{UPLOADS}/{{asset_id}}",
            response_model=UploadProgress,
            responses={
                202: {"model": UploadProgress, "description": "A part arrived"},
                **problem_responses(*bodied, 404, 409),
            },
        )(self.send)
        router.get(f"{UPLOADS}/{{asset_id}}", responses=problem_responses(404))(self.arrived)
        router.post("/v2/assets", status_code=201, responses=problem_responses(*bodied, 404, 409))(self.register)
        router.get("/v2/assets", responses=problem_responses(400, 422))(self.listed)
        router.get("/v2/assets/{asset_id}", responses=problem_responses(404, 409))(self.one)
        router.delete("/v2/assets/{asset_id}", status_code=204, responses=problem_responses(404, 409))(self.remove)
        path = f"{FILES}/{{asset_id}}"
        sent = {**SENT_RESPONSES, **problem_responses(404, 409)}
        router.get(path, response_class=Response, responses=sent)(self.file)
        router.head(path, include_in_schema=False)(self.file)

    def announce(self, asked: UploadRequest, request: Request) -> UploadAnswer:
        """Announce a file: the answer says where to send it. Its bytes go there by PUT, without a key."""
        asset = self._assets.announce(asked.file_name, asked.content_type, asked.size)
        path = f"{UPLOADS}/{asset.id}"
        return UploadAnswer(
            upload_url=self._links.to(path, "PUT", request),
            url=self._links.plain(path, request),
            expires_in=self._links.hold_s,
        )

    async def send(self, asset_id: str, request: Request) -> Response:
        """Send a file whole, or a part of it by ``Content-Range``; one that was cut off goes on where it ended."""
        self._links.check(request)
        asset = self._assets.get(asset_id)
        part = upload_range(request.headers.get("content-range"), asset.size)
        try:
            async with contextmanager_in_threadpool(self._assets.writing(asset_id, part.start)) as upload:
                await _receive(request, upload, part)
        except ClientDisconnect:  # what came stays, and nobody is there to be told
            return Response(status_code=400)
        if part.length is None or self._assets.received(asset_id) == asset.size:
            await run_in_threadpool(self._assets.complete, asset_id)
        progress = self._progress(asset_id)
        return JSONResponse(progress.model_dump(by_alias=True), 200 if progress.is_whole else 202)

    def arrived(self, asset_id: str, request: Request) -> UploadProgress:
        """Tell how far an upload came. It takes the service's key, or the signature that is for sending."""
        self._links.check(request, "PUT")
        return self._progress(asset_id)

    def register(self, asked: AssetRequest, request: Request) -> AssetAnswer:
        """Take a file that was sent, by the ``url`` that its upload was answered with."""
        beginning, _, asset_id = asked.url.partition("?")[0].rpartition("/")
        if not beginning.endswith(UPLOADS):
            do = "Announce the file with /v2/assets/upload"
            raise RequestError("foreign_asset", "url", got="is not of an upload to this service", do=do)
        return asset_answer(self._assets.complete(asset_id), self._links, request)

    def listed(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=_MOST_ITEMS)] = _MOST_ITEMS,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        search: Annotated[str, Query(alias="searchQuery", max_length=255)] = "",
        order: Annotated[AssetOrder, Query(alias="sortBy")] = "dateDesc",
        types: Annotated[list[str] | None, Query(description="VIDEO, AUDIO, IMAGE: repeated, or with commas")] = None,
        project: Annotated[str | None, Query(alias="projectId")] = None,
    ) -> AssetsAnswer:
        """List the files that were sent, a part at a time."""
        if project is not None:
            raise RequestError("unknown_option", "projectId", got="there are no projects here", do="Leave it out")
        page = self._assets.listed(_kinds(types or []), search, order, limit, cursor)
        items = [asset_answer(asset, self._links, request) for asset in page.items]
        return AssetsAnswer(items=items, next_cursor=page.cursor, total_count=page.total)

    def one(self, asset_id: str, request: Request) -> AssetAnswer:
        """Tell of a file that was sent."""
        self._assets.path(asset_id)  # it has arrived
        return asset_answer(self._assets.get(asset_id), self._links, request)

    def remove(self, asset_id: str) -> None:
        """Remove a file that was sent, or give an upload up."""
        if self._assets.get(asset_id).is_whole and self._in_use(str(self._assets.path(asset_id))):
            got = "a job that has not ended reads it"
            raise RequestError("asset_in_use", "the asset", got=got, do="Cancel the job first")
        self._assets.remove(asset_id)

    def file(self, asset_id: str, request: Request) -> Response:
        """Send a file back, or a part of it."""
        self._links.check(request)
        asset = self._assets.get(asset_id)
        return sent_file(str(self._assets.path(asset_id)), asset.name or asset.id, media_type(asset), request)

    def _progress(self, asset_id: str) -> UploadProgress:
        asset = self._assets.get(asset_id)
        return UploadProgress(received=self._assets.received(asset_id), size=asset.size, is_whole=asset.is_whole)


async def _receive(request: Request, upload: Upload, part: UploadRange) -> None:
    """Write a body as it comes; what came before it was cut off is written too.

    Raises:
        RequestError: More comes than the request said.
        ClientDisconnect: It was cut off.
    """
    blocks: list[bytes] = []
    gathered, taken = 0, 0
    try:
        async for block in request.stream():
            taken += len(block)
            if part.length is not None and taken > part.length:
                got = f"more bytes came than Content-Range says, {part.length}"
                raise RequestError("bad_range", "the body", got=got)
            blocks.append(block)
            gathered += len(block)
            if gathered >= _AT_ONCE_BYTES:
                await run_in_threadpool(upload.write, b"".join(blocks))
                blocks, gathered = [], 0
    finally:
        if blocks:
            await run_in_threadpool(upload.write, b"".join(blocks))
    if part.length is not None and taken < part.length:
        got = f"{taken} bytes came, and Content-Range says {part.length}"
        raise RequestError("bad_range", "the body", got=got, do="Ask with GET how far it came, and go on there")


def _kinds(types: list[str]) -> list[AssetKind]:
    """Return the kinds that a list names, whose items may hold commas.

    Raises:
        RequestError: One is none.
    """
    names = [name.strip().upper() for text in types for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in _KINDS]:
        raise RequestError(
            "unknown_option",
            "types",
            got=f"{unknown[0][:40]!r} is not a kind of asset",
            must=f"one of {', '.join(_KINDS)}",
        )
    return [kind for kind in _KINDS if kind in names]
