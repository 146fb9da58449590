"""`lipwise-ray demo`: the bundled clips, dubbed with the bundled models; or one of them through a deployment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import cluster, setup, synth
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import SettingsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.storage.address import is_store, is_web
from lipwise_ray.storage.redact import redact

if TYPE_CHECKING:
    from lipwise_ray.runs.load_settings import LoadedSettings
    from lipwise_ray.runs.smoke_test import SmokeFinding


def demo(
    folder: Annotated[
        str, typer.Argument(help="Where the videos go; progress is kept beside it.", metavar="[FOLDER]")
    ] = "demo-out",
    *,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke",
            help="Test a deployment: one clip, its inputs put into FOLDER (also s3://, gs://, az://), and the finished "
            "file read again.",
        ),
    ] = False,
    address: setup.Address = None,
    state: setup.State = None,
    assignments: setup.Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --smoke: print one JSON object per line.")] = False,
    _sent_to: Annotated[str | None, typer.Option("--sent-to", hidden=True)] = None,
) -> None:
    """Dub the bundled clips of drawn presenters, and print how far the audio is off the lips before and after.

    With --smoke the exit code is 0 where one of them came through the cluster, the state and the bucket that are named,
    and its output is what was published; else 1, or what `submit` ends with.
    """
    from lipwise_ray.resources import jobs_folder, manifests_folder

    job = jobs_folder() / "demo.toml"
    settings = lipwise_ray.load_settings(job=job, assignments=assignments or (), address=address)
    if smoke:
        raise typer.Exit(_smoke(folder, state, settings, as_json=as_json))
    if address or state or assignments or as_json or is_store(folder):
        got = "--address, --state, --set, --json or a bucket given without --smoke"
        raise SettingsError("bad_usage", "demo", got=got, do="Add --smoke, or `submit` a manifest of your own")
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show
    from lipwise_ray.runs.run_request import request_for

    manifest = str(manifests_folder() / "demo.csv")
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
        synth.compare(manifest, job=job, out=folder, true=manifests_folder() / "demo" / "true")
    raise typer.Exit(report.exit_code)


def _smoke(out: str, state: str | None, settings: LoadedSettings, *, as_json: bool) -> int:
    """Test a deployment, or let its cluster do so; return the exit code."""
    if is_web(settings.for_run().engine.address):
        from lipwise_ray.runs.sending import SmokeTestToSend

        return cluster.send(SmokeTestToSend(settings, out, state, as_json=as_json), name=None, detach=False)
    stop = StopFlag()
    from lipwise_ray.cli.progress import show
    from lipwise_ray.runs.progress_events import ignore
    from lipwise_ray.runs.smoke_test import smoke_findings, smoke_manifest

    with (
        smoke_manifest(out, settings.for_run()) as manifest,
        nullcontext(ignore) if as_json else show(stop) as display,
    ):
        report = lipwise_ray.submit(
            manifest,
            out=out,
            state=state,
            settings=settings,
            models=setup.models_folder(),
            progress=display,
            stop=stop,
        )
    is_good = _print(smoke_findings(report, settings.for_run()), as_json=as_json)
    return report.exit_code or (ExitCode.DONE if is_good else ExitCode.ROWS_FAILED)


def _print(findings: Iterable[SmokeFinding], *, as_json: bool) -> bool:
    """Print findings as `doctor` does its own; tell whether all are good."""
    is_good = True
    for one in findings:
        is_good &= one.good
        text = redact(one.text)
        if as_json:
            typer.echo(json.dumps({"good": one.good, "name": one.name, "text": text}))
        else:
            typer.echo(f"{'ok  ' if one.good else 'MISS'} {one.name:10} {text}")
    return is_good
