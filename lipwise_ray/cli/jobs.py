"""`lipwise-ray submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lipwise_ray.cli import cluster, setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import LipwiseError, SettingsError
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row instead of text.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read finished outputs again: what is not what was published is made again."),
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
    from lipwise_ray.state.shards import Shard  # noqa: PLC0415  # with its store

    part = Shard.parse(shard) if shard is not None else None
    source = setup.settings_source(job, setup.with_engine(assignments, address, workers), preset)
    settings = source.for_run()
    if is_web(settings.engine.address):
        raise typer.Exit(
            cluster.send(
                cluster.Sent(
                    manifest,
                    job,
                    assignments or [],
                    preset,
                    out,
                    state,
                    workers,
                    fail_above=fail_above,
                    as_json=as_json,
                    verify=verify,
                    shard=shard,
                ),
                settings,
                name=job_id,
                detach=detach,
            )
        )
    if detach or job_id:
        raise SettingsError("no_cluster", "--detach and --id", "need --address http://HOST:PORT of a cluster")
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show  # noqa: PLC0415  # heavy
    from lipwise_ray.engine.driver import submit as run_manifest  # noqa: PLC0415  # heavy
    from lipwise_ray.engine.factory import make_engine  # noqa: PLC0415  # with the others
    from lipwise_ray.reports.write import write_report  # noqa: PLC0415  # the same
    from lipwise_ray.state.store import open_store  # noqa: PLC0415  # the same

    out_root = setup.out_address(out, settings, manifest)
    state_root = setup.state_address(state, settings, out_root)
    loaded = setup.read_manifest(manifest, source, settings, out_root, copy_of)
    if part is not None:
        loaded.keep(part)
    with show(loaded.good + loaded.bad, as_json=as_json) as listener:
        stop.tell_by(listener.stopping)
        report = run_manifest(
            loaded,
            source,
            setup.registry(settings),
            state=state_root,
            out=out_root,
            make_engine=lambda config: make_engine(settings.engine, config, listener.problem),
            listener=listener,
            stop=stop,
            request=setup.request(
                "submit",
                [copy_of or manifest],
                job_of or job,
                assignments,
                preset,
                out_root,
                address,
                workers,
                fail_above,
                as_json=as_json,
                shard=shard,
                sent_to=sent_to,
            ),
            verify=verify,
        )
        listener.summary(report, out_root, state_root)
        try:
            listener.say(f"report:  {write_report(open_store(state_root), report.run_id)}")
        except LipwiseError as error:  # what was done stays done
            listener.problem(f"the report was not written: {error}")
    raise typer.Exit(report.code_above(fail_above))
