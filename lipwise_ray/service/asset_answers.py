"""Requests and answers about files that clients send, in sync.so's words."""

from __future__ import annotations

import datetime as dt
import mimetypes
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lipwise_ray.service.asset_record import Asset, AssetKind
from lipwise_ray.service.signed_links import SignedLinks

FILES = "/v2/assets/files"
"""Beginning of the addresses of the files themselves."""

_OTHER_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "mkv", "asf": "wmv", "mpegts": "ts"}


class _InCamelCase(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class UploadRequest(_InCamelCase, strict=True):
    """A file that is going to be sent."""

    file_name: Annotated[str, Field(min_length=1, max_length=255)]
    content_type: Annotated[str, Field(max_length=255)] = "application/octet-stream"
    size: Annotated[int, Field(ge=1, le=1 << 50)]


class UploadAnswer(_InCamelCase):
    """Address to which a file is to be sent with PUT, and its name afterwards."""

    upload_url: str
    url: str
    expires_in: int


class UploadProgress(_InCamelCase):
    """Bytes of an upload that are there."""

    received: int
    size: int | None
    is_whole: bool


class AssetRequest(_InCamelCase, strict=True):
    """A file that was sent, by the ``url`` that the upload's answer named."""

    url: Annotated[str, Field(max_length=2000)]


class AssetAnswer(_InCamelCase):
    """A file that was sent."""

    id: str
    created_at: dt.datetime
    updated_at: dt.datetime
    type: AssetKind
    visibility: str = "USER"
    name: str
    url: str
    size: int
    format: str
    duration_seconds: float | None
    width: int | None
    height: int | None


class AssetsAnswer(_InCamelCase):
    """A part of the list of files that were sent."""

    items: list[AssetAnswer]
    next_cursor: str | None
    total_count: int


def asset_answer(asset: Asset, links: SignedLinks, request: Request) -> AssetAnswer:
    """Return the answer that describes a file that arrived.

    Args:
        asset: The file.
        links: Makes links.
        request: The request that is answered.
    """
    media = asset.media
    assert media is not None  # it arrived
    return AssetAnswer(
        id=asset.id,
        created_at=dt.datetime.fromtimestamp(asset.created, dt.UTC),
        updated_at=dt.datetime.fromtimestamp(asset.changed, dt.UTC),
        type=media.kind,
        name=asset.name,
        url=links.to(f"{FILES}/{asset.id}", request=request),
        size=asset.size or 0,
        format=_format(asset.name, media.format),
        duration_seconds=media.duration_s,
        width=media.width or None,
        height=media.height or None,
    )


def media_type(asset: Asset) -> str:
    """Return the type under which a browser may show a file: by its contents, and never a page's."""
    guessed = mimetypes.guess_type(f"x.{_format(asset.name, asset.media.format if asset.media else '')}")[0] or ""
    return guessed if guessed.startswith(("video/", "audio/", "image/")) else "application/octet-stream"


def _format(name: str, container: str) -> str:
    """Return the usual suffix of a container, without a dot: a file's own, where that is one of its suffixes."""
    suffix = name.rpartition(".")[2].lower()
    if suffix in container.split(","):
        return suffix
    return _OTHER_NAMES.get(container, container.partition(",")[0].removesuffix("_pipe"))
