"""`lipwise-ray validate` and `lipwise-ray plan`: looking before leaping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lipwise_ray.cli import setup


def validate(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
) -> None:
    """Check a manifest and the settings; list every problem of every row at once."""
    from lipwise_ray.errors import LipwiseError  # noqa: PLC0415  # with the others
    from lipwise_ray.media.join import codec_for, container_for  # noqa: PLC0415  # heavy

    source = setup.settings_source(job, assignments, preset)
    settings = source.for_run()
    out_root = setup.out_address(out, settings, manifest)
    loaded = setup.read_manifest(manifest, source, settings, out_root)
    for problem in loaded.problems:
        typer.echo(str(problem))
    bad = loaded.bad
    for row in loaded.rows:
        try:
            codec_for(source.for_row(row).encode.codec, container_for(Path(row.output)))
        except LipwiseError as error:
            typer.echo(f"{row.where}: {error}")
            bad += 1
    typer.echo(f"{manifest}: {loaded.good + loaded.bad - bad} good rows, {bad} bad rows")
    raise typer.Exit(1 if bad else 0)


def plan(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
    state: Annotated[str | None, typer.Option("--state", help="Take speeds from the runs kept there.")] = None,
    prices: setup.Prices = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Show chunks, frames and the estimated time of every row. Nothing is run or written."""
    from lipwise_ray.dubbing.costs import read_prices  # noqa: PLC0415  # heavy
    from lipwise_ray.dubbing.estimate import Speeds, estimate_row  # noqa: PLC0415  # heavy
    from lipwise_ray.dubbing.media import cache_of, media_of  # noqa: PLC0415  # heavy
    from lipwise_ray.errors import InputError, StorageError  # noqa: PLC0415  # with the others

    source = setup.settings_source(job, assignments, preset)
    settings = source.for_run()
    out_root = setup.out_address(out, settings, manifest)
    loaded = setup.read_manifest(manifest, source, settings, out_root)
    listed = read_prices(prices) if prices else None
    speeds = Speeds.measured(setup.state_address(state, settings, out_root))
    media = media_of(settings, cache_of(settings.paths))
    bad = loaded.bad
    for problem in loaded.problems:
        typer.echo(f"error: {problem}", err=True)
    frames = seconds = 0.0
    for row in loaded.rows:
        try:
            found = estimate_row(row, source.for_row(row), speeds, media)
        except (InputError, StorageError) as error:
            typer.echo(f"error: {row.where}: {error}", err=True)
            bad += 1
            continue
        frames, seconds = frames + found.frames, seconds + found.seconds
        if as_json:
            typer.echo(json.dumps(found.record()))
        else:
            typer.echo(
                f"{row.id}: {found.frames} frames at {float(found.rate):.3f}/s in {found.chunks} chunks, "
                f"scan of {found.scan_frames} frames, about {found.seconds:.0f} s"
            )
    jobs = f"measured over {speeds.jobs} {'job' if speeds.jobs == 1 else 'jobs'} in this state"
    basis = jobs if speeds.jobs else "assumed, nothing was measured in this state yet"
    if not as_json:
        typer.echo(
            f"{loaded.good} rows, {frames:.0f} frames, about {seconds / 60:.1f} worker minutes "
            f"(render {speeds.render:.1f} frames/s, scan {speeds.scan:.1f} frames/s; {basis})"
        )
        if listed is not None:
            scan_s = seconds - frames / speeds.render
            least_s, most_s = frames / speeds.fastest + scan_s, frames / speeds.slowest + scan_s
            typer.echo(
                f"GPU hours, one for each worker: {least_s / 3600:.2f} to {most_s / 3600:.2f}"
                + ("" if speeds.are_of_gpus else " (by speeds that were not measured on GPUs)")
                + f"; prices as of {listed.as_of}"
            )
            for line in listed.lines(least_s, most_s):
                typer.echo(f"  {line}")
    raise typer.Exit(1 if bad else 0)
