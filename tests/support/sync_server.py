"""A whole service on a port of this machine, for programs that speak its API."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from lipwise_ray.runs.costs import Prices
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service.access import AccessRules
from lipwise_ray.service.app import WebApp
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service
from lipwise_ray.service.sync_api.door import sync_door

TOKEN = "a-token-of-a-test"


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs.

    Attributes:
        url: Its address.
        service: Its queue.
        app: Its web application.
    """

    url: str
    service: Service
    app: WebApp


@contextmanager
def served(
    folder: Path,
    assignments: Sequence[str],
    *,
    works: bool = True,
    prices: Prices | None = None,
    needs_token: bool = True,
) -> Generator[Served]:
    """Serve until the end, with a driver of its own where it works."""
    service = Service.open(folder, load_settings(assignments=assignments), works=works)
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()  # who asks before it is up waits
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            options = ServerOptions(
                access=AccessRules(TOKEN, needs_token=needs_token),
                base_url=url,
                is_public=False,
                upload_bytes=50_000_000,
                body_bytes=1_000_000,
                requests_per_minute=0,
                listeners=4,
                link_s=3600.0,
                keep_s=3600.0,
                idle_s=30.0,
                folders=service.folders,
            )
            assets = AssetStore(service.store, service.uploads, options.upload_bytes, service.side_work.facts)
            app = WebApp(service, assets, options, [sync_door(prices)], "whsec_test")
            server = uvicorn.Server(uvicorn.Config(app.asgi, log_level="warning", lifespan="on"))
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            try:
                yield Served(url, service, app)
            finally:
                app.end_streams()
                server.should_exit = True
                thread.join()
    finally:
        service.close()
