"""`lipwise-ray diarise`: who speaks when in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup


def diarise(
    file: Annotated[Path, typer.Argument(help="Audio, or a video with audio.", metavar="AUDIO_OR_VIDEO")],
    *,
    speakers: Annotated[
        int | None, typer.Option("--speakers", min=1, help="How many speak; without it the voices decide.", metavar="N")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: standard output.", metavar="FILE.rttm")
    ] = None,
    segmentation: Annotated[
        Path | None, typer.Option("--segmentation", help="Pyannote segmentation network.", metavar="FILE.onnx")
    ] = None,
    embedding: Annotated[
        Path | None, typer.Option("--embedding", help="Speaker embedding network.", metavar="FILE.onnx")
    ] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
) -> None:
    """Write down who speaks when (RTTM), to be looked at, edited, and given as the speakers of a manifest's row."""
    named = {"segmentation": segmentation, "embedding": embedding}
    extra = [f"diarise.{key}={json.dumps(str(path))}" for key, path in named.items() if path is not None]
    settings = lipwise_ray.load_settings(job=job, assignments=[*(assignments or []), *extra])
    found = lipwise_ray.diarise(file, speakers=speakers, out=out, settings=settings)
    if out is None:
        typer.echo(found.rttm, nl=False)
    for name, turns in found.turns.items():
        seconds = float(sum(end - start for start, end in turns))
        typer.echo(f"{name}: {seconds:.1f} s in {len(turns)} turn{'s' if len(turns) > 1 else ''}", err=out is None)
    if speakers is not None and len(found.turns) != speakers:
        typer.echo(f"found {len(found.turns)} of {speakers} speakers", err=True)
    if out is not None:
        typer.echo(f"written: {out}")
