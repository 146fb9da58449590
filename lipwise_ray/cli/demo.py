"""`lipwise-ray demo`: the bundled manifest, dubbed with the bundled models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup, synth
from lipwise_ray.cli.stopping import StopFlag


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where the videos go; progress is kept beside it.", metavar="[FOLDER]")
    ] = Path("demo-out"),
) -> None:
    """Dub the bundled clips of drawn presenters, and print how far the audio is off the lips before and after."""
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show
    from lipwise_ray.resources import jobs_folder, manifests_folder
    from lipwise_ray.runs.run_request import request_for

    manifest, job = str(manifests_folder() / "demo.csv"), jobs_folder() / "demo.toml"
    settings = lipwise_ray.load_settings(job=job)
    with show(stop) as display:
        report = lipwise_ray.submit(
            manifest,
            out=folder,
            settings=settings,
            models=setup.models_folder(),
            progress=display,
            stop=stop,
            request=request_for("submit", [manifest], settings),
        )
    if not report.exit_code:
        synth.compare(manifest, job=job, out=str(folder), true=manifests_folder() / "demo" / "true")
    raise typer.Exit(report.exit_code)
