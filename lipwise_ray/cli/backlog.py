"""`lipwise-ray backlog`: manifests that are dropped into a folder or prefix, night by night."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import SettingsError

if TYPE_CHECKING:
    from lipwise_ray.runs.night_record import NightRecord


class NotifyOn(StrEnum):
    """Nights that are reported."""

    ALWAYS = "always"
    FAILURE = "failure"


app = typer.Typer(help="Work through manifests as they come.", no_args_is_help=True, rich_markup_mode=None)

TELL_S = 60
"""So long whoever is told of a night may take."""

_TAKEN = range(200, 400)

Backlog = Annotated[str, typer.Argument(help="The folder or prefix into which manifests are dropped.")]


@app.callback()
def top() -> None:
    """Hold the commands."""


@app.command("run")
def run(
    backlog: Backlog,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: setup.Out = None,
    state: setup.State = None,
    until: Annotated[
        str | None, typer.Option("--until", help="When the window closes, by this machine's clock.", metavar="HH:MM")
    ] = None,
    opens: Annotated[
        str | None,
        typer.Option("--from", help="When the window opens: a night that comes before is refused.", metavar="HH:MM"),
    ] = None,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Nights whose reports are kept.")] = 30,
    notify: Annotated[
        str | None, typer.Option("--notify", help="A command that gets the night's record (JSON) to read.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            envvar="LIPWISE_WEBHOOK",
            show_envvar=True,
            help="An address that the night's record (JSON) is posted to.",
        ),
    ] = None,
    notify_on: Annotated[
        NotifyOn, typer.Option("--notify-on", help="Report every night, or only those that did not go well.")
    ] = NotifyOn.ALWAYS,
    prices: setup.Prices = None,
    exit_zero: Annotated[
        bool,
        typer.Option(
            "--exit-zero",
            help="End with code 0 also where rows failed, or are left when the window closes: the report says so.",
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="local (default), auto, or ray://HOST:PORT of a cluster. Not http://, as the driver stays here: "
            "`ray job submit` sends the whole command to a cluster.",
        ),
    ] = None,
    workers: setup.Workers = None,
    fail_above: setup.FailAbove = 0.0,
) -> None:
    """Dub what is new in the backlog: the highest priority first, then the oldest; the rest is for the next night.

    Outputs of a manifest go under a folder of its name.
    """
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show

    if webhook and not webhook.startswith(("https://", "http://")):
        happened = "not an http or https address"  # which it is instead may be a secret
        raise SettingsError("bad_webhook", "--webhook or LIPWISE_WEBHOOK", got=happened)

    def tell(night: NightRecord) -> None:
        if notify_on is NotifyOn.ALWAYS or not night.is_good:
            _tell(night, notify, webhook)

    try:
        given = assignments or ()
        settings = lipwise_ray.load_settings(preset, job=job, assignments=given, address=address, workers=workers)
    except BaseException as error:
        from lipwise_ray.runs.night_record import not_started

        tell(not_started(backlog, error))
        raise
    with show(stop) as display:
        night = lipwise_ray.nightly(
            backlog,
            until=until,
            opens=opens,
            out=out,
            state=state,
            settings=settings,
            models=setup.models_folder(),
            prices=prices,
            keep=keep,
            fail_above=fail_above,
            on_failure=tell,
            progress=display,
            stop=stop,
        )
    _say(
        f"night {night.night}: {night.done} done, {night.failed} failed, {night.refused} manifests refused, "
        f"{night.left} rows for another night"
    )
    _say(f"report:  {night.report}")
    tell(night)
    raise typer.Exit(night.code(exit_zero=exit_zero))


@app.command("status")
def status(
    backlog: Backlog,
    *,
    state: setup.State = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per manifest.")] = False,
) -> None:
    """Show the manifests of a backlog: waiting, left with rows to do, done, or refused and why."""
    from lipwise_ray.runs.nightly import dropped
    from lipwise_ray.state.format import check_format
    from lipwise_ray.state.store import open_store
    from lipwise_ray.storage.address import is_local, local_path

    place = state or f"{backlog.rstrip('/')}.out.state"
    there = not is_local(place) or local_path(place).exists()
    store = open_store(place) if there else None  # opening it would make it
    if store:
        check_format(store)
    for manifest in dropped(backlog, store):
        record = manifest.record if manifest.record and manifest.record.tag == manifest.tag else None
        names = ("done", "failed", "left", "night", "message")
        facts = {name: value for name in names if (value := getattr(record, name, None)) is not None}
        if as_json:
            typer.echo(json.dumps({"name": manifest.name, "status": manifest.status, **facts}))
        else:
            typer.echo(
                f"{manifest.status:8} {manifest.name}" + "".join(f", {name} {value}" for name, value in facts.items())
            )


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _tell(night: NightRecord, notify: str | None, webhook: str | None) -> None:
    """Tell whoever wants to know; that this fails is no failure of the night."""
    record = asdict(night)
    text = json.dumps(record)
    if notify is not None:
        try:
            done = subprocess.run(shlex.split(notify), input=text, text=True, timeout=TELL_S, check=False)  # noqa: S603  # the user's own command
            if done.returncode:
                _say(f"error: --notify: ended with code {done.returncode}.")
        except subprocess.TimeoutExpired:  # whose text is the whole command
            _say(f"error: --notify: did not end within {TELL_S} s.")
        except IndexError:
            _say("error: --notify: did not run: it is empty.")
        except (OSError, ValueError) as error:
            got = error.strerror if isinstance(error, OSError) else "quotes that do not match"
            _say(f"error: --notify: did not run: {got}.")
    if webhook:
        _post(webhook, text)


def _post(webhook: str, text: str) -> None:
    from urllib3.exceptions import HTTPError

    from lipwise_ray.storage.plain_http import answered
    from lipwise_ray.storage.retries import RetryPolicy
    from lipwise_ray.storage.timed_retries import TimedRetries, fault_of

    policy = RetryPolicy(tries=4, total_s=TELL_S / 2, first_wait_s=1.0, longest_wait_s=TELL_S / 4)
    # A night that is told twice does less harm than one that is not told.
    retries = TimedRetries.of(policy, only_safe=False)
    headers = {"Content-Type": "application/json"}
    try:
        with answered("POST", webhook, retries, headers=headers, body=text.encode()) as answer:
            fault = "" if answer.status in _TAKEN else f"HTTP {answer.status}"
    except HTTPError as error:  # whose text may hold the address
        fault = fault_of(error).partition(":")[0]
    if fault:
        _say(f"error: --webhook: no answer: {fault}.")
