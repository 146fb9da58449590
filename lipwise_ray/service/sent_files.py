"""Files as answers: whole or in parts, from the disk or from a bucket."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from lipwise_ray.errors import RequestError
from lipwise_ray.storage.address import bucket_and_key, is_local
from lipwise_ray.storage.objects import Bucket

SENT_RESPONSES = {
    206: {"description": "The part that Range asks for"},
    304: {"description": "It is what the client has"},
    416: {"description": "It has no such part"},
}
"""Statuses beside 200, for descriptions of the addresses that send files."""

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
_CACHED = {"Cache-Control": "private, no-cache"}
"""A player may keep a part and has to ask whether it still holds."""


def sent_file(address: str, name: str, media_type: str, request: Request) -> Response:
    """Return the answer that sends a file, or the part of it that is asked for; it looks at the file and may take long.

    Args:
        address: A path, or an address of a bucket.
        name: Name under which a browser keeps it.
        media_type: Type of its contents.
        request: The request.

    Raises:
        RequestError: It is gone.
        StorageError: The store refuses.
    """
    return (_from_disk if is_local(address) else _from_bucket)(address, name, media_type, request)


def _from_disk(address: str, name: str, media_type: str, request: Request) -> Response:
    try:
        status = Path(address).stat()
    except OSError as error:
        raise _gone() from error
    if not stat.S_ISREG(status.st_mode):
        raise _gone()
    answer = FileResponse(
        address,
        headers=_CACHED,
        media_type=media_type,
        filename=_plain(name),
        stat_result=status,
        content_disposition_type="inline",
    )
    if StaticFiles(check_dir=False).is_not_modified(answer.headers, request.headers):
        return NotModifiedResponse(answer.headers)
    return answer


def _from_bucket(address: str, name: str, media_type: str, request: Request) -> Response:
    root, key = bucket_and_key(address)
    bucket = Bucket(root)
    facts = bucket.facts(key)
    if facts is None or facts.size is None:
        raise _gone()
    tag = facts.tag if facts.tag.startswith(('"', "W/")) else f'"{facts.tag}"'
    headers = {
        **_CACHED,
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Content-Disposition": f"inline; filename*=utf-8''{quote(_plain(name))}",
    }
    if StaticFiles(check_dir=False).is_not_modified(Headers(headers), request.headers):
        return NotModifiedResponse(Headers(headers))
    part = _part(request.headers, facts.size, tag)
    if part is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{facts.size}"})
    start, stop = part
    headers["Content-Length"] = str(stop - start)
    status = 200
    if (start, stop) != (0, facts.size):
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{facts.size}"
    if request.method == "HEAD" or start == stop:
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_blocks(bucket, key, start, stop), status, headers, media_type)


def _blocks(bucket: Bucket, key: str, start: int, stop: int) -> Iterator[bytes]:
    yield from bucket.stream(key, start, stop)


def _part(headers: Headers, size: int, tag: str) -> tuple[int, int] | None:
    """Return the bytes ``[start, stop)`` that are asked for; None where there are none. Of several parts, all."""
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or found[1] + found[2] == "" or headers.get("if-range", tag) != tag:
        return 0, size
    if not found[1]:
        return (max(size - int(found[2]), 0), size) if int(found[2]) and size else None
    start, stop = int(found[1]), min(int(found[2] or size) + 1, size)
    return (start, stop) if start < stop else None


def _plain(name: str) -> str:
    """Return a name that every header can hold, in its quoted form."""
    return name.encode("utf-8", "replace").decode().replace("/", "_") or "file"


def _gone() -> RequestError:
    return RequestError("unknown_output", "the file", got="is not there, or is no longer there")
