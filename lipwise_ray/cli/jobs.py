"""`lipwise-ray submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import cluster, setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import SettingsError
from lipwise_ray.storage.address import is_web


def submit(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
    state: setup.State = None,
    address: setup.Address = None,
    workers: setup.Workers = None,
    fail_above: setup.FailAbove = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per row instead of text.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read finished outputs again: one that is not what was published is made again."),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", help="Only this part of the rows, such as 3/8: other drivers do the others, on the same state."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --address http: return once the cluster has the run.")
    ] = False,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="With --address http: the run's name; it is sent once, however often this is called."
        ),
    ] = None,
    copy_of: Annotated[str | None, typer.Option("--copy-of", hidden=True)] = None,
    job_of: Annotated[Path | None, typer.Option("--job-of", hidden=True)] = None,
    sent_to: Annotated[str | None, typer.Option("--sent-to", hidden=True)] = None,
) -> None:
    """Dub every row of a manifest. Run it again to go on after a stop, a crash or a failure."""
    settings = lipwise_ray.load_settings(
        preset, job=job, assignments=assignments or [], address=address, workers=workers
    )
    if is_web(settings.for_run().engine.address):
        from lipwise_ray.runs.sending import RunToSend

        run = RunToSend(manifest, settings, out, state, fail_above, as_json=as_json, verify=verify, shard=shard)
        raise typer.Exit(cluster.send(run, name=job_id, detach=detach))
    if detach or job_id:
        happened = "given without the address of a cluster"
        raise SettingsError("no_cluster", "--detach and --id", got=happened, do="Add --address http://HOST:PORT")
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show
    from lipwise_ray.runs.run_request import request_for

    request = request_for(
        "submit",
        [copy_of or manifest],
        settings,
        job=job_of,
        fail_above=fail_above,
        as_json=as_json,
        shard=shard,
        sent_to=sent_to,
    )
    with show(stop, as_json=as_json) as display:
        report = lipwise_ray.submit(
            manifest,
            out=out,
            state=state,
            settings=settings,
            models=setup.models_folder(),
            shard=shard,
            verify=verify,
            progress=display,
            stop=stop,
            copy_of=copy_of,
            request=request,
        )
    raise typer.Exit(report.code_above(fail_above))
