"""`lipwise-ray submit`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import LipwiseError


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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row instead of text.")] = False,
) -> None:
    """Dub every row of a manifest. Run it again to go on after a stop, a crash or a failure."""
    from lipwise_ray.cli.progress import show  # noqa: PLC0415  # heavy
    from lipwise_ray.engine.driver import submit as run_manifest  # noqa: PLC0415  # heavy
    from lipwise_ray.engine.factory import make_engine  # noqa: PLC0415  # with the others
    from lipwise_ray.reports.write import write_report  # noqa: PLC0415  # the same
    from lipwise_ray.state.store import open_store  # noqa: PLC0415  # the same

    source = setup.settings_source(job, setup.with_engine(assignments, address, workers), preset)
    settings = source.for_run()
    out_root = setup.out_address(out, settings, manifest)
    state_root = setup.state_address(state, settings, out_root)
    loaded = setup.read_manifest(manifest, source, settings, out_root)
    stop = StopFlag()
    with show(loaded.good + loaded.bad, as_json=as_json) as listener:
        report = run_manifest(
            loaded,
            source,
            setup.registry(settings),
            state=state_root,
            out=out_root,
            make_engine=lambda config: make_engine(settings.engine, config),
            listener=listener,
            stop=stop,
            command=sys.argv[1:],
        )
        listener.summary(report, out_root, state_root)
        try:
            listener.say(f"report:  {write_report(open_store(state_root), report.run_id)}")
        except LipwiseError as error:  # what was done stays done
            listener.problem(f"the report was not written: {error}")
    raise typer.Exit(report.exit_code)
