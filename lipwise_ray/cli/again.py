"""Request that `retry` runs: a state holds it; it is checked, shown, and never more than its own words say.

A state may lie where others can write. So what is run again is rebuilt from a typed record, `submit`, `evaluate` and
`dub` are all there is, and a state does not choose whose code, checkpoints and places are trusted.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import typer

import lipwise_ray
from lipwise_ray.cli import dub, evaluate, jobs
from lipwise_ray.errors import StateError
from lipwise_ray.printable import on_one_line
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.run_records import Request
from lipwise_ray.state.shapes import typed
from lipwise_ray.storage.address import bucket_and_key, is_local, whole_path
from lipwise_ray.storage.redact import GONE, redact

_FLAGS = {"--json": "as_json", "--verify": "verify"}
_PLACES = ("paths.schemes", "paths.hosts", "paths.roots", "paths.models", "paths.mirror", "paths.scratch")
_FETCHING = ("paths.downloader", "paths.cookies")
_SIGNING = tuple(f"marking.{key}" for key in ("certificate", "key", "sign_command", "timestamp_authority", "folder"))
_TRUSTED = (
    *("engine.address", "engine.metrics_file", "asr.model", "tts.command", "tts.model"),
    *(*_FETCHING, *_SIGNING, *_PLACES),
)
_OWN_RAYS = ("local", "auto")


def run_again(request: Request, folder: str, state: str, *, trust: bool, address: str | None = None) -> None:
    """Show a request and run it on a state.

    Args:
        request: What the state holds.
        folder: Where it was run.
        state: The state, as whoever asks named it.
        trust: It may choose what is trusted too.
        address: The Ray that is asked for; None for the request's own.

    Raises:
        StateError: It chooses that and may not, or its folder is gone, or its cluster is not named.
    """
    request = _addressed(request, state, address, trust=trust)
    state = str(whole_path(state)) if is_local(state) else state
    # What a record was cut of is its own to say: a file may be called [redacted].
    cut = [word for word in words_of(request, state) if request.is_cut is not False and GONE in word]
    if cut:
        raise StateError(
            "secret_in_request",
            f"retry {state}",
            got=f"{shown_words(cut)} held a secret, which is not kept",
            do="Run the command again yourself",
        )
    if request.sent_to is None:
        _enter(folder)
    else:  # whose files all have whole paths
        folder = str(Path.cwd())
    command = f"lipwise-ray {shown_words(words_of(request, state))}"
    untrusted = list(_chosen(request, state, address))
    if untrusted and not trust:
        raise StateError(
            "untrusted_request",
            f"retry {state}",
            got=f"the state names what is to be trusted: {', '.join(untrusted)}",
            do=f"Add --trust if you wrote that, or run it yourself in {shown_words([folder])}: {command}",
        )
    typer.echo(redact(f"running again in {shown_words([folder])}: {command}"), err=True)
    job = Path(request.job) if request.job is not None else None
    if request.verb == "dub":
        dub.dub(
            request.files[0],
            request.files[1:],
            text=request.text,
            voice=request.voice,
            language=request.language,
            start=_option(request.start_s or None),
            end=_option(request.end_s),
            job=job,
            assignments=_assignments(request) or None,
            preset=request.preset,
            state=state,
        )
        return
    if request.verb == "evaluate":
        evaluate.videos(
            request.files,
            references=request.references or None,
            job=job,
            assignments=request.assignments or None,
            out=Path(request.out or "evaluation"),
            state=state,
            address=request.address,
            workers=request.workers,
            fail_above=request.fail_above,
            as_json=request.as_json,
        )
        return
    jobs.submit(
        request.files[0],
        job=job,
        assignments=request.assignments or None,
        preset=request.preset,
        out=request.out,
        state=state,
        address=request.address,
        workers=request.workers,
        fail_above=request.fail_above,
        as_json=request.as_json,
        verify=request.verify,
        shard=request.shard,
    )


def _addressed(request: Request, state: str, address: str | None, *, trust: bool) -> Request:
    """Return the request with the address it goes to: what was sent to a cluster is run there, and nowhere else.

    Raises:
        StateError: Nobody but the state says where that is.
    """
    if address is None and request.sent_to is not None and not trust:
        raise StateError(
            "sent_request",
            f"retry {state}",
            got="the run was sent to a cluster, and no --address names it",
            do=f"Add --address {shown_words([request.sent_to])}, or wherever its dashboard is now",
        )
    address = address or request.sent_to
    return replace(request, address=address) if address else request


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except (OSError, ValueError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or str(error)
        do = "Run the submit again where it was run; a cluster's goes on by `retry --address` too"
        happened = f"the folder in which it was run cannot be entered: {got.lower()}"
        raise StateError("no_folder", shown_words([folder]), got=happened, do=do) from error


def words_of(request: Request, state: str) -> list[str]:
    """Return the command line that is the same as a request.

    Args:
        request: The request.
        state: Address of the state, which a request does not hold.
    """
    words: list[str] = [request.verb]
    told = {"job": request.job, "preset": request.preset, "out": request.out, "address": request.address}
    told |= {"shard": request.shard}
    if request.verb == "dub":
        told |= {
            "out": None,
            "address": None,
            "text": request.text,
            "voice": request.voice,
            "language": request.language,
        }
        told |= {"start": _option(request.start_s or None), "end": _option(request.end_s)}
    words += [f"--{name}={value}" for name, value in told.items() if value is not None]
    words += [f"--set={text}" for text in _assignments(request)]
    words += [f"--reference={text}" for text in request.references]
    words += [f"--workers={request.workers}"] if request.workers is not None and request.verb != "dub" else []
    words += [f"--fail-above={request.fail_above:g}"] if request.fail_above else []
    words += [option for option, name in _FLAGS.items() if getattr(request, name)]
    return [*words, f"--state={state}", "--", *request.files]


def _assignments(request: Request) -> list[str]:
    """Return single settings; those of `dub` hold what other commands have options for."""
    if request.verb != "dub":
        return request.assignments
    address = [] if request.address is None else [f"engine.address={json.dumps(request.address)}"]
    workers = [] if request.workers is None else [f"engine.workers={request.workers}"]
    return [*request.assignments, *address, *workers]


def _option(seconds: float | None) -> str | None:
    return None if seconds is None else str(seconds)


def shown_words(words: list[str]) -> str:
    """Return words as a shell takes them; none of them steers the terminal."""
    return " ".join(on_one_line(shlex.quote(word)) for word in words)


def request_of(words: list[str]) -> Request | None:
    """Return the request that the command line of an earlier version was; None where it was another command."""
    verb, *arguments = words or [""]
    if verb == "evaluate" and arguments[:1] == ["videos"]:
        arguments = arguments[1:]
    if verb not in ("submit", "evaluate"):
        return None
    parser = _WordsParser(add_help=False, allow_abbrev=False)
    parser.add_argument("files", nargs="+")
    for name in ("--job", "--preset", "--out", "--address", "--copy-of", "--job-of", "--sent-to", "--state"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--fail-above", type=float, default=0.0)
    parser.add_argument("--set", action="append", dest="assignments", default=[])
    parser.add_argument("--reference", action="append", dest="references", default=[])
    for option, name in _FLAGS.items():
        parser.add_argument(option, action="store_true", dest=name)
    try:
        options = vars(parser.parse_intermixed_args(arguments))
    except ValueError:
        return None
    del options["state"]  # whoever asks for the retry names it
    original, job = options.pop("copy_of"), options.pop("job_of")
    options["job"] = job or options["job"]
    files = [original] if original else options["files"]
    return typed({**options, "verb": verb, "files": files}, Request) if verb == "evaluate" or len(files) == 1 else None


class _WordsParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse words that are no request."""
        raise ValueError(message)


def _chosen(request: Request, state: str, address: str | None) -> Iterator[str]:
    """Yield the settings of a request that this machine would have to trust: other Rays, checkpoints, places."""
    told = lipwise_ray.load_settings(
        request.preset,
        job=request.job,
        assignments=request.assignments,
        address=request.address,
        workers=request.workers,
    )
    places = [("file", file) for file in request.files]
    places += [("out", request.out)] if request.out is not None else []
    yield from chosen(told.for_run(), places, state, address)


def chosen(
    settings: Settings, places: Iterable[tuple[str, str]], state: str, address: str | None = None
) -> Iterator[str]:
    """Yield the settings and places of a state that this machine would have to trust.

    Args:
        settings: What the state holds.
        places: What is read and written, each after its name.
        state: Where the state is.
        address: Of Ray, where whoever asks named it.
    """
    plain = dict(_trusted(Settings()))
    for name, value in _trusted(settings):
        if value != plain.get(name) and not (name == "engine.address" and value in (*_OWN_RAYS, address)):
            yield redact(shown_words([f"{name}={value}"]))
    for name, place in places:
        if not _is_beside(place, state):
            yield redact(shown_words([f"{name} {place}"]))


def _is_beside(place: str, state: str) -> bool:
    """Tell whether a place is of this machine, or of the state's own bucket."""
    if is_local(place):
        return True
    return not is_local(state) and bucket_and_key(place)[0] == bucket_and_key(state)[0]


def _trusted(settings: Settings) -> Iterator[tuple[str, Any]]:
    values: dict[str, Any] = settings.model_dump(mode="json")
    retries: list[dict[str, Any]] = values["gate"].pop("retry")
    for number, part in enumerate([values, *retries]):
        for name, value in _flat(part):
            if name in _TRUSTED or name.endswith("checkpoint"):
                yield f"{name}{f' of gate.retry {number}' if number else ''}", value


def _flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{path}{name}.")
        else:
            yield f"{path}{name}", value
