"""`lipwise-ray init`: a manifest and a job file to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="Where manifest.csv and job.toml go.", metavar="[FOLDER]")] = Path(),
    *,
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Folder of videos, each of which gets a row.", metavar="DIR")
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio",
            help="Folder of new audio by the same names: ep1.wav, ep1.de.wav, ep1_pt-BR.m4a. Default: --videos.",
            metavar="DIR",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write a starter manifest, its rows matched by name, and a job file whose comments explain its settings."""
    from lipwise_ray.runs.starter import write_starter

    made = write_starter(folder, videos, audio, overwrites=force)
    for path, why in made.alone:
        typer.echo(f"left out: {path} ({why})", err=True)
    count = f"{made.rows} row{'' if made.rows == 1 else 's'}" if made.rows else "an example row: put yours in its place"
    typer.echo(f"written: {made.manifest} ({count})")
    typer.echo(f"written: {made.job}")
    typer.echo("next:")
    job = ["--job", str(made.job)]
    typer.echo(f"  {shlex.join(['lipwise-ray', 'validate', str(made.manifest), *job])}")
    typer.echo(f"  {shlex.join(['lipwise-ray', 'submit', str(made.manifest), *job, '--out', str(folder / 'dubbed')])}")
