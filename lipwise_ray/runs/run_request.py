"""Request for a run, as its state keeps it for `lipwise-ray retry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from lipwise_ray.errors import InputError, SettingsError
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.state.run_records import Request
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.storage.redact import scrub


def request_for(
    verb: Literal["submit", "evaluate", "dub"],
    files: Sequence[str],
    settings: LoadedSettings,
    *,
    references: Sequence[str] = (),
    job: Path | None = None,
    fail_above: float = 0.0,
    as_json: bool = False,
    shard: str | None = None,
    sent_to: str | None = None,
) -> Request | None:
    """Return a run as the command that asks for it; None where its settings were made in code.

    Args:
        verb: The command.
        files: The manifest, or videos, or what `dub` is told.
        settings: Of the run.
        references: What videos are compared with.
        job: The settings file that the one of `settings` is a copy of; None where it is none.
        fail_above: The fraction of rows that may fail.
        as_json: It prints JSON.
        shard: The part of the rows.
        sent_to: The dashboard that it was sent to.

    Raises:
        SettingsError: `fail_above` is no fraction.
    """
    check_fraction(fail_above)
    if settings.assignments is None:
        return None
    job = job or settings.job
    return Request(
        verb=verb,
        files=[*files],
        references=[*references],
        job=str(job) if job is not None else None,
        assignments=[*settings.assignments],
        preset=settings.asked_preset,
        address=settings.address,
        workers=settings.workers,
        fail_above=fail_above,
        as_json=as_json,
        shard=shard,
        sent_to=sent_to,
    )


def check_fraction(fail_above: float) -> None:
    """Refuse a number that is no fraction of rows.

    Raises:
        SettingsError: It is none.
    """
    if not 0 <= fail_above <= 1:
        raise SettingsError(
            "bad_value",
            "fail_above",
            got=f"{fail_above:g} is not a fraction of the rows",
            do="Give a number from 0 to 1",
        )


def kept(request: Request | None, out: str) -> Request | None:
    """Return a request as the state keeps it: with whole paths, its outputs' place, and without secrets.

    Args:
        request: The request as the user made it; None for a run that cannot be asked for again.
        out: Address of the outputs, whether the request names it or not.
    """
    if request is None:
        return None
    asked = replace(
        request,
        files=[_whole(file) for file in request.files],
        references=[_whole(file) for file in request.references],
        job=_whole(request.job) if request.job is not None else None,
        out=_whole(out),
    )
    words = asdict(asked)
    return replace(asked, is_cut=scrub(words) != words)


def _whole(place: str) -> str:
    try:
        return str(whole_path(place)) if is_local(place) else place
    except InputError:  # its row says so
        return place
