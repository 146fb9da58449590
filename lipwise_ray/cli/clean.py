"""`lipwise-ray clean`: removing what is old from a state, without Ray."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from lipwise_ray.cli.status import must_be_state
from lipwise_ray.errors import SettingsError
from lipwise_ray.storage.redact import redact

_AGE = re.compile(r"(\d{1,5})([hdw])", re.ASCII)
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


def clean(
    state: Annotated[str, typer.Argument(help="The state: a folder or an address.")],
    *,
    older: Annotated[
        str | None,
        typer.Option(
            "--older", help="Least age of what is removed, in hours, days or weeks: 12h, 30d, 8w.", metavar="AGE"
        ),
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(
            "--keep-days",
            min=0,
            max=36_500,
            help="Instead: keep what runs of the latest N days used, whenever it was written.",
            metavar="N",
        ),
    ] = None,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Jobs without a result too: their finished chunks would be rendered again."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line per kind.")] = False,
) -> None:
    """Remove old scans, sounds, reports and what led to finished videos; that they are done stays known."""
    from lipwise_ray.state import cleaning
    from lipwise_ray.state.shards import held_against_all
    from lipwise_ray.state.store import open_store

    older_s = _age_s(older, keep_days)
    must_be_state(state)
    by_runs = keep_days is not None
    store = open_store(state)

    def say(text: str) -> None:
        typer.echo(redact(text), err=True)

    total = 0
    with nullcontext(lambda: True) if dry_run else held_against_all(store, "clean", say) as is_held:
        for removed in cleaning.clean(
            store, older_s, unfinished=unfinished, by_runs=by_runs, dry_run=dry_run, is_held=is_held
        ):
            total += removed.bytes_total
            if as_json:
                typer.echo(json.dumps({**asdict(removed), "dry_run": dry_run}))
                continue
            size = _shown(removed.bytes_total)
            typer.echo(f"{removed.kind}: {removed.objects} records and files of {removed.folders}, {size}")
    if not as_json:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {_shown(total)}")


def _age_s(older: str | None, keep_days: int | None) -> int:
    """Return the seconds of the age that one of two options states.

    Raises:
        SettingsError: It is none, or not one of them is given.
    """
    if (older is None) == (keep_days is None):
        given = "neither" if older is None else "both"
        raise SettingsError(
            "bad_usage", "clean", got=f"{given} of --older and --keep-days given", do="Give one of them"
        )
    return _seconds(older) if older is not None else (keep_days or 0) * _SECONDS["d"]


def _seconds(age: str) -> int:
    """Return the seconds of an age.

    Raises:
        SettingsError: It is none.
    """
    found = _AGE.fullmatch(age)
    if found is None:
        raise SettingsError(
            "bad_age", "--older", got=f"{age[:40]!r} is not an age", do="Write hours, days or weeks: 12h, 30d, 8w"
        )
    return int(found[1]) * _SECONDS[found[2]]


def _shown(bytes_total: int) -> str:
    value, unit = float(bytes_total), 0
    while value >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{bytes_total} bytes"
