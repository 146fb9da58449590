"""The web application of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

import lipwise_ray
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.gate import Gate
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.web_errors import PlainWords, add_error_answers

if TYPE_CHECKING:
    from lipwise_ray.service.service import Service


def create_app(service: Service, assets: AssetStore, options: ServerOptions) -> FastAPI:
    """Return the web application.

    It opens no other addresses to pages of other sites (no CORS), and has no pages of documentation, which would load
    from elsewhere; ``/openapi.json`` describes it.

    Args:
        service: The queue.
        assets: Files that clients sent.
        options: Its options.
    """
    app = FastAPI(title="lipwise-ray", version=lipwise_ray.__version__, docs_url=None, redoc_url=None)
    plain = PlainWords([str(folder) for folder in options.folders])
    add_error_answers(app, plain)
    app.add_middleware(Gate, options=options, plain=plain, count=lambda scope, status: None)
    return app
