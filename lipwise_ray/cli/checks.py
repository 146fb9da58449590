"""`lipwise-ray validate` and `lipwise-ray plan`: looking before leaping."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.exit_codes import ExitCode


def validate(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
    state: setup.State = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not open the inputs.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per problem, and one at the end.")
    ] = False,
) -> None:
    """Check a manifest, its settings, inputs and checkpoints; list every problem of every row at once."""
    from lipwise_ray.errors import LipwiseError

    try:
        good, bad, lacking = _validated(manifest, job, assignments, preset, out, state, quick=quick, as_json=as_json)
    except LipwiseError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"code": error.code, "message": str(error), "line": None, "row_id": None, "rows": None}))
        raise typer.Exit(ExitCode.CANNOT_START) from error
    if as_json:
        typer.echo(
            json.dumps({"manifest": manifest, "good_rows": good, "bad_rows": bad, "missing_checkpoints": lacking})
        )
    else:
        missing = f", checkpoints or settings that cannot be used: {lacking}" if lacking else ""
        typer.echo(f"{manifest}: {good} good rows, {bad} bad rows{missing}")
    raise typer.Exit(ExitCode.ROWS_FAILED if bad else ExitCode.CANNOT_START if lacking else ExitCode.DONE)


def _validated(
    manifest: str,
    job: Path | None,
    assignments: list[str] | None,
    preset: str | None,
    out: str | None,
    state: str | None,
    *,
    quick: bool,
    as_json: bool,
) -> tuple[int, int, int]:
    """Print the findings; return the numbers of good rows, bad rows and missing checkpoints."""
    from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
    from lipwise_ray.runs.run_inputs import (
        out_address,
        read_manifest,
        registry_of,
        state_address,
    )
    from lipwise_ray.runs.validation import Validation

    source = lipwise_ray.load_settings(preset, job=job, assignments=assignments or ())
    settings = source.for_run()
    out_root = out_address(out, settings, manifest)
    loaded = read_manifest(manifest, source, settings, out_root)
    media = None if quick else media_of(settings, cache_of(settings.paths))
    state_root = state_address(state, settings, out_root)
    validation = Validation(loaded, source, registry_of(settings, setup.models_folder()), media, out_root, state_root)
    for finding in validation.findings():
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
        else:
            typer.echo(finding.message if finding.line else f"{finding.message} Needed by {finding.rows} rows.")
    for warning in validation.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return loaded.good + loaded.bad - validation.bad, validation.bad, validation.lacking


def plan(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
    state: Annotated[str | None, typer.Option("--state", help="Take speeds from the runs kept there.")] = None,
    prices: setup.Prices = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per row.")] = False,
) -> None:
    """Show chunks, frames and the estimated time of every row. Nothing is run or written."""
    from lipwise_ray.errors import InputError, LipwiseError, SettingsError, StorageError
    from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
    from lipwise_ray.runs.costs import read_prices
    from lipwise_ray.runs.estimate import Speeds, estimate_row
    from lipwise_ray.runs.model_requirements import ModelRequirements
    from lipwise_ray.runs.run_inputs import (
        out_address,
        read_manifest,
        registry_of,
        state_address,
    )
    from lipwise_ray.runs.stretched_length import unmoved_background

    source = lipwise_ray.load_settings(preset, job=job, assignments=assignments or ())
    settings = source.for_run()
    out_root = out_address(out, settings, manifest)
    loaded = read_manifest(manifest, source, settings, out_root)
    listed = read_prices(prices) if prices else None
    speeds = Speeds.measured(state_address(state, settings, out_root))
    media = media_of(settings, cache_of(settings.paths))
    requirements = ModelRequirements(registry_of(settings, setup.models_folder()), gpu=False)
    with suppress(LipwiseError):  # what is missing is told by `validate`, and when a run starts
        requirements.all_of(source, loaded.rows)
    for note in requirements.notes:
        typer.echo(f"note: {note}", err=True)
    bad = loaded.bad
    for problem in loaded.problems:
        typer.echo(f"error: {problem}", err=True)
    rows, frames, seconds = 0, 0.0, 0.0
    for row in loaded.rows:
        try:
            estimate = estimate_row(row, source.for_row(row), speeds, media)
        except (InputError, SettingsError, StorageError) as error:
            typer.echo(f"error: {row.where}: {error}", err=True)
            bad += 1
            continue
        warning = unmoved_background(row, source.for_row(row))
        if warning is not None:
            typer.echo(f"warning: {row.where}: {warning}", err=True)
        rows, frames, seconds = rows + 1, frames + estimate.frames, seconds + estimate.seconds
        if as_json:
            typer.echo(
                json.dumps({**asdict(estimate), "rate": str(estimate.rate), "seconds": round(estimate.seconds, 1)})
            )
        else:
            typer.echo(
                f"{row.id}: {estimate.frames} frames at {float(estimate.rate):.3f}/s in {estimate.chunks} chunks, "
                f"scan of {estimate.scan_frames} frames, about {estimate.seconds:.0f} s"
            )
    jobs = f"measured over {speeds.jobs} {'job' if speeds.jobs == 1 else 'jobs'} in this state"
    basis = jobs if speeds.jobs else "assumed, nothing was measured in this state yet"
    if not as_json:
        typer.echo(
            f"{rows} rows, {frames:.0f} frames, about {seconds / 60:.1f} worker minutes "
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
