"""`lipwise-ray serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.errors import SetupError

_PORT = 8765


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of the service: uploads, token, state, outputs.")] = Path(
        "lipwise-service"
    ),
    *,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. Any but this machine's own needs the token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any that is free.")] = _PORT,
    public_url: Annotated[
        str | None,
        typer.Option("--public-url", help="Address of a proxy in front of it; the token is needed then."),
    ] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.ServiceOut = None,
    state: setup.ServiceState = None,
    address: setup.Address = None,
    workers: setup.Workers = None,
    prices: setup.Prices = None,
) -> None:
    """Take jobs over HTTP, as sync.so's API has them, and dub them; Ctrl-C stops, the same command goes on."""
    settings = lipwise_ray.load_settings(
        preset, job=job, assignments=assignments or [], address=address, workers=workers
    )
    try:
        import fastapi
        import python_multipart
        import uvicorn
    except ImportError as error:
        raise SetupError(
            "no_extra",
            "serve",
            got=f"{error.name or 'a package of it'} is not installed",
            do="Run `pip install 'lipwise-ray[serve]'`",
        ) from error
    del fastapi, python_multipart, uvicorn
    from lipwise_ray.runs.costs import read_prices
    from lipwise_ray.service.gradio_door import gradio_door
    from lipwise_ray.service.server import ServerRequest
    from lipwise_ray.service.server import serve as answer
    from lipwise_ray.service.studio.studio_door import studio_door
    from lipwise_ray.service.sync_api.door import sync_door

    models, listed = setup.models_folder(), read_prices(prices) if prices else None
    doors = [sync_door(listed, str(models) if models else None), studio_door(listed, models), gradio_door()]

    request = ServerRequest(folder=folder, host=host, port=port, public_url=public_url, state=state, out=out)
    answer(request, settings, doors, lambda text: typer.echo(text, err=True))
