"""Requests that come as forms with files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

from pydantic import JsonValue, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lipwise_ray.errors import RequestError
from lipwise_ray.service.asset_record import Asset
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.sync_api.request import GenerationRequest, checked
from lipwise_ray.service.upload import refused_by_disk

FORM = "multipart/form-data"
_MOST_FILES, _MOST_FIELDS, _MOST_FIELD_BYTES = 3, 32, 1 << 20
_TEXTS = ("model", "webhookUrl", "outputFileName")
_JSONS = ("input", "options", "segments")
_FILES = ("video", "audio")
_BEYOND = ("Too many", "Part exceeded")
_ANY = TypeAdapter[JsonValue](JsonValue)
_REQUEST = TypeAdapter(GenerationRequest)


class _FormParser(MultiPartParser):
    """A parser that notes whether a form has its end: what comes after a cut would be missed, and by nobody."""

    has_ended = False

    def on_end(self) -> None:
        """Note the boundary after which there is no more."""
        self.has_ended = True


@asynccontextmanager
async def read_form(request: Request, assets: AssetStore, most_files: int = _MOST_FILES) -> AsyncGenerator[FormData]:
    """Read the fields and files of a form; files are on the disk where they are large, and gone at the end.

    Args:
        request: The request.
        assets: Takes its files.
        most_files: Files that it may have.

    Raises:
        RequestError: It is no form, or larger than one may be.
        StorageError: There is no room for it on the disk, or that refuses.
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        raise RequestError("bad_request", "the body", got=f"is no {FORM}", do="Send it as a form with files")
    stated = request.headers.get("content-length", "")
    assets.check_room(2 * int(stated) if stated.isdigit() else 0)  # files lie there twice while they are copied
    parser = _FormParser(
        request.headers,
        request.stream(),
        max_files=most_files,
        max_fields=_MOST_FIELDS,
        max_part_size=_MOST_FIELD_BYTES,
    )
    try:
        with refused_by_disk():
            form = await parser.parse()
    except MultiPartException as error:
        is_beyond = error.message.startswith(_BEYOND)
        raise RequestError(
            "body_too_large" if is_beyond else "bad_request", "the form", got=error.message.rstrip(".")
        ) from error
    try:
        if not parser.has_ended:
            raise RequestError("bad_request", "the form", got="is cut off: its last boundary is missing")
        yield form
    finally:
        await form.close()


async def request_of_form(form: FormData, assets: AssetStore, kept: Callable[[Asset], object]) -> GenerationRequest:
    """Return the request that a form holds; its files become assets.

    Args:
        form: The form.
        assets: Takes its files.
        kept: Told of each asset that was made.

    Raises:
        RequestError: A field is unknown, twice there or impossible, or a file is no media file.
        StorageError: The disk or the state refuses.
    """
    body, files = await run_in_threadpool(_fields_of, form)
    inputs = [*cast("list[JsonValue]", body.get("input") or [])]
    for name, file in files:
        asset = await run_in_threadpool(assets.add, file.file, file.filename or name, file.content_type or "")
        kept(asset)
        kind = "image" if name == "video" and asset.media and asset.media.kind == "IMAGE" else name
        inputs.append({"type": kind, "assetId": asset.id})
    return await run_in_threadpool(_checked_request, {**body, "input": inputs or None})


def _fields_of(form: FormData) -> tuple[dict[str, JsonValue], list[tuple[str, UploadFile]]]:
    """Return the request that a form's fields are, and its files: nothing else is wrong with them.

    Raises:
        RequestError: A field is unknown, twice there or impossible.
    """
    body: dict[str, JsonValue] = {}
    for name, values in _by_name(form).items():
        value = values[0]
        if len(values) > 1:
            raise RequestError("invalid_request", name, got=f"appears {len(values)} times")
        if name in _FILES and isinstance(value, UploadFile):
            continue
        if isinstance(value, UploadFile) or name in _FILES:
            what = "a file" if isinstance(value, UploadFile) else "no file"
            raise RequestError("invalid_request", name, got=f"{what}, where the other belongs")
        if name in _TEXTS:
            body[name] = value or None  # an empty field is how a form has none
        elif name in _JSONS:
            body[name] = checked(_ANY, value, name) if value else None
        else:
            raise RequestError("invalid_request", name, got="unknown field")
    given = body.get("input")
    if not isinstance(given, list | None):
        raise RequestError("invalid_request", "input", got="is not a list")
    files = [(name, file) for name in _FILES if isinstance(file := form.get(name), UploadFile)]
    # Whatever else is wrong is found before files are looked at and kept.
    placed: list[JsonValue] = [{"type": name, "assetId": "file"} for name, _ in files]
    _checked_request({**body, "input": [*(given or []), *placed] or None})
    return body, files


def _checked_request(body: dict[str, JsonValue]) -> GenerationRequest:
    return checked(_REQUEST, _ANY.dump_json(body))


def _by_name(form: FormData) -> Mapping[str, list[UploadFile | str]]:
    return {name: form.getlist(name) for name in form}
