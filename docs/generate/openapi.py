"""The service as it describes itself: its OpenAPI document and its metrics, of a service that nobody asks anything."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from starlette.types import Message

from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service.access import AccessRules
from lipwise_ray.service.app import WebApp
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service
from lipwise_ray.service.sync_api.door import sync_door

_TOKEN = "a-token-of-the-reference"  # noqa: S105  # of a service that nobody reaches


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the service's API, without the pages of the studio."""
    with _web_app() as app:
        return app.asgi.openapi()


@cache
def service_metrics() -> str:
    """Return the metrics of the service in Prometheus' text, once it has been asked something."""
    with _web_app() as app:
        asyncio.run(_get(app, "/healthz"))
        return asyncio.run(_get(app, "/metrics")).decode()


async def _get(app: WebApp, path: str) -> bytes:
    """Ask the application as a server would; its lifespan, with all that works in the background, does not begin."""
    body = b""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080"), (b"x-api-key", _TOKEN.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    await app.asgi(scope, receive, send)
    return body


@contextmanager
def _web_app() -> Generator[WebApp]:
    with tempfile.TemporaryDirectory() as folder:
        service = Service.open(Path(folder), load_settings(assignments=['lipsync.model="passthrough"']), works=False)
        try:
            options = ServerOptions(
                access=AccessRules(_TOKEN, needs_token=True),
                base_url="http://127.0.0.1:8080",
                is_public=False,
                upload_bytes=1,
                body_bytes=1,
                requests_per_minute=0,
                listeners=1,
                link_s=1.0,
                keep_s=1.0,
                idle_s=1.0,
                folders=service.folders,
            )
            assets = AssetStore(service.store, service.uploads, options.upload_bytes, service.side_work.facts)
            yield WebApp(service, assets, options, [sync_door(None)], "whsec_reference")
        finally:
            service.close()
