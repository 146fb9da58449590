"""`lipwise-ray preview`: a few seconds of a row, or one frame, before all of it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.cli.completed_ids import manifest_rows
from lipwise_ray.cli.stopping import StopFlag


def preview(
    manifest: setup.ManifestFile,
    row: Annotated[str, typer.Argument(help="Id of the row.", autocompletion=manifest_rows)],
    *,
    at_s: Annotated[
        float, typer.Option("--at", min=0.0, help="Where it begins, in seconds of the finished output.", metavar="S")
    ] = 0.0,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Its length; 0 for one frame, as a picture.", metavar="S")
    ] = 5.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file: .mp4, .mov, .mkv or .webm; .png or .jpg for the one frame at that second. Default: a file "
            "of the user's cache, which is named.",
            metavar="FILE",
        ),
    ] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="State of a run, from which faces that were found are taken; it is only read. Default: that of "
            "submit, where there is one.",
            metavar="ADDRESS",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of the file's name.")] = False,
) -> None:
    """Make a few seconds of a row's output, as the whole will have them, or one frame. Kept, and found again."""
    settings = lipwise_ray.load_settings(preset, job=job, assignments=assignments or [])
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show
    from lipwise_ray.runs.preview import check_no_input, row_of, usual_state
    from lipwise_ray.runs.preview import preview as make
    from lipwise_ray.runs.run_inputs import local_file

    chosen = row_of(manifest, row, settings)
    if out is not None:
        check_no_input(local_file(out), [manifest])
    with show(stop) as display:
        made = make(
            chosen,
            at_s,
            seconds,
            out=out,
            state=state or usual_state(manifest, settings),
            settings=settings,
            models=setup.models_folder(),
            cache=setup.cache_folder() / "previews",
            progress=display,
            stop=stop,
        )
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps({"file": str(made.file), "notes": made.notes, "reused": made.reused}))
        return
    typer.echo(made.file)
