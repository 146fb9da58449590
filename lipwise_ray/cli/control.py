"""`lipwise-ray retry`, `cancel` and `reproduce`: acting on a state, without Ray."""

from __future__ import annotations

import faulthandler
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from lipwise_ray.cli import again, cluster, setup
from lipwise_ray.cli.again import shown_words
from lipwise_ray.cli.completed_ids import quarantined_jobs, quarantined_tasks, state_rows
from lipwise_ray.cli.status import must_be_state
from lipwise_ray.errors import SettingsError, StateError
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.redact import redact

State = Annotated[str, typer.Argument(help="The state: a folder or an address.")]


def retry(
    state: State,
    *,
    job: Annotated[
        str | None,
        typer.Option("--job", help="Only what this job has in quarantine.", autocompletion=quarantined_jobs),
    ] = None,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Take everything out of quarantine (the default without --job).")
    ] = False,
    lift_only: Annotated[bool, typer.Option("--lift-only", help="Do not run it again.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Take Ray's address, checkpoints and allowed places from the state too."),
    ] = False,
    address: setup.Address = None,
) -> None:
    """Take tasks out of quarantine and run the latest submit, evaluate or dub of the state again, where it was run.

    What a service has in quarantine is its own to run: this says so. Of several shards with rows to do none is run:
    which they are is said.
    """
    from lipwise_ray.state import layout, quarantine
    from lipwise_ray.state.overview import latest_run, shards_to_do
    from lipwise_ray.state.shards import refuse_if_any_held
    from lipwise_ray.state.store import open_store

    must_be_state(state)
    if job is not None and quarantined:
        raise SettingsError("bad_usage", "retry", got="both --job and --quarantined", do="Leave one out")
    store = open_store(state)
    refuse_if_any_held(store, lambda text: typer.echo(redact(text), err=True))
    lifted = quarantine.lift(store, job)
    for task in lifted:
        typer.echo(f"lifted {task}")
    typer.echo(f"{len(lifted)} tasks out of quarantine")
    if lift_only:
        return
    latest = latest_run(store)
    request = latest and (latest.request or again.request_of(latest.command or []))
    if request is None and store.names(layout.SERVICE_JOBS):
        typer.echo("these rows are a service's: it runs them. Retry what failed in its studio, under Queue")
        return
    if latest is None or request is None:
        other = f"the latest was {shown_words(latest.command[:2])}" if latest and latest.command else "it has none"
        happened = f"no run of submit, evaluate or dub to run again; {other}"
        raise StateError("no_command", state, got=happened, do="Run it again yourself")
    shards = shards_to_do(store)
    if len(shards) > 1:
        one_shard = replace(
            request, shard=f"NUMBER/{shards[0].rpartition('/')[2]}", address=request.sent_to or request.address
        )
        raise StateError(
            "several_shards",
            f"retry {state}",
            got=f"rows to do in several shards: {', '.join(shards)}",
            do=f"Send each of them yourself: lipwise-ray {redact(shown_words(again.words_of(one_shard, state)))}",
        )
    request = replace(request, shard=shards[0]) if shards else request
    again.run_again(request, latest.folder, state, trust=trust, address=address)


def cancel(
    state: Annotated[
        str, typer.Argument(help="The state: a folder or an address. With --address: a run's id.", metavar="STATE")
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            help="A row's id or a job's. Default: the whole run.", metavar="[ROW]", autocompletion=state_rows
        ),
    ] = None,
    *,
    address: cluster.Dashboard = None,
) -> None:
    """Ask the driver that works on a state to give up a row, or all rows; or a cluster to end a run."""
    from lipwise_ray.pipeline.manifest.row_validation import ROW_ID
    from lipwise_ray.state import layout
    from lipwise_ray.state.shards import holders
    from lipwise_ray.state.store import open_store

    if address is not None:
        if name is not None:
            happened = f"{name} beside --address, which ends whole runs"
            raise SettingsError("bad_usage", "cancel", got=happened, do="Give the state to end a row")
        cluster.stop(address, state)
        return
    must_be_state(state)
    if name is not None and not ROW_ID.match(name):
        raise SettingsError("bad_usage", "cancel", got=f"{name[:140]!r} is not the id of a row", do="See the manifest")
    store = open_store(state)
    at_work = holders(store)
    if not at_work:
        raise StateError("not_running", state, got="no driver is at work", do="There is nothing to cancel")
    for place, _ in at_work:  # whichever of them has the row
        place.write(layout.CANCEL_RUN if name is None else layout.cancel(name), b"{}")
    typer.echo("asked for the end of the run" if name is None else f"asked for the end of {name}")


def reproduce(
    state: State,
    task: Annotated[
        str,
        typer.Argument(
            help="The task of a dead letter, as `lipwise-ray status` shows it.", autocompletion=quarantined_tasks
        ),
    ],
    *,
    trust: Annotated[
        bool, typer.Option("--trust", help="Take checkpoints and allowed places from the state too.")
    ] = False,
) -> None:
    """Do one task from quarantine in this process, alone, and show how it ends."""
    from lipwise_ray.backends.worker_config import WorkerConfig
    from lipwise_ray.errors import LipwiseError
    from lipwise_ray.pipeline.tasks.reproduce import rebuild
    from lipwise_ray.pipeline.tasks.worker import Worker
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.scheduler.task import Hints
    from lipwise_ray.state import quarantine
    from lipwise_ray.state.store import open_store

    must_be_state(state)
    store = open_store(state)
    letter = quarantine.read(store, task)
    if letter is None:
        raise StateError("no_letter", state, got=f"no dead letter of {task}", do="See `lipwise-ray status`")
    rebuilt = rebuild(letter, registry_of(Settings(), setup.models_folder()))
    row, settings = rebuilt.payload.row, rebuilt.payload.row.job.settings
    untrusted = [*again.chosen(settings, rebuilt.places, store.address)]
    untrusted += [redact(shown_words([f"{role} {path}"])) for role, path in rebuilt.foreign]
    if untrusted and not trust:
        raise StateError(
            "untrusted_letter",
            f"reproduce {state}",
            got=f"the state names what is to be trusted: {', '.join(untrusted)}",
            do="Add --trust if they are yours",
        )
    named = (f"{name} {place}" for name, place in rebuilt.places)
    typer.echo(redact(f"doing {task} alone: {shown_words([*named])}"), err=True)
    faulthandler.enable()
    with TemporaryDirectory(prefix="lipwise-") as scratch:
        worker = Worker(WorkerConfig(store.address, scratch, row.device, 0, settings.paths))
        try:
            result = worker.run(rebuilt.kind, rebuilt.payload, Hints(may_be_done=True))
        except LipwiseError as error:
            typer.echo(redact(f"fails again: {error}"), err=True)
            raise typer.Exit(1) from error
    typer.echo(rebuilt.kind.write_result(result).decode())
    typer.echo(f"{task} works now: take it out of quarantine with `lipwise-ray retry`", err=True)
