"""A task of a dead letter, rebuilt: from typed fields, with this machine's checkpoints and folders.

A state may lie where others can write. Its letters say which work failed; whose checkpoints and places are trusted they
do not say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from lipwise_ray.dubbing.tasks import LANES, Kind
from lipwise_ray.errors import LipwiseError, StateError
from lipwise_ray.nets.registry import Registry
from lipwise_ray.settings import Engine, Settings
from lipwise_ray.state.shapes import STRICT, Count, Id, Sha256
from lipwise_ray.storage.address import is_local
from lipwise_ray.storage.redact import GONE
from lipwise_ray.values import Json

_Seconds = Annotated[float, Field(ge=0, le=1e9)]


@checked_dataclass(frozen=True, slots=True, config=STRICT)
class _Speaker:
    faces: str
    audio: str
    start_s: _Seconds = 0.0
    end_s: _Seconds | None = None


@checked_dataclass(frozen=True, slots=True, config=STRICT)
class _Job:
    row_id: str
    video: str
    audio: str | None
    output: str
    output_address: str
    tracks: str | None
    start_s: _Seconds
    end_s: _Seconds | None
    language: str | None
    tags: list[str]
    settings: Annotated[str, Field(max_length=1 << 20)]
    speakers: list[_Speaker]


@checked_dataclass(frozen=True, slots=True, config=STRICT)
class _Weights:
    name: str
    network: str
    path: str
    sha256: Sha256
    licence: str = ""
    commercial: Literal["yes", "no", "unclear"] | bool = "unclear"
    reason: str = ""
    made_for: str = ""


@checked_dataclass(frozen=True, slots=True, config=STRICT)
class _Choice:
    codec: str
    encoder: str
    bfloat16: bool | None


_Role = Literal["lipsync", "restorer", "upscaler", "parser", "judge", "embedder", "expert", "detector", "inception"]


@checked_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class _Payload:
    """All that a task may be told; a letter's other words are not handed on."""

    job: _Job
    weights: dict[_Role, _Weights | list[_Weights] | None]
    device: Literal["cpu", "cuda"]
    choices: list[_Choice] | None = None
    known_choices: list[_Choice] | None = None
    choice: _Choice | None = None
    attempt: Count | None = None
    verify: bool | None = None
    job_id: Id | None = None
    video_id: Id | None = None
    detector_id: Id | None = None
    voices_id: Id | None = None
    looks_id: Id | None = None
    first_id: Id | None = None
    best_id: Id | None = None
    identity: dict[str, Any] | None = None
    portraits: dict[str, Id] | None = None
    portrait: tuple[str, Id] | None = None
    chunk: Count | None = None
    start: Count | None = None
    stop: Count | None = None
    squeeze: Annotated[int, Field(ge=0, le=64)] | None = None
    original: bool | None = None
    unscored: list[Count] | None = None
    attempts: list[dict[str, Any]] | None = None
    language: str | None = None
    reference: str | None = None
    absent: dict[str, str] | None = None


_PAYLOAD = TypeAdapter(_Payload)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A task that can be done alone.

    Attributes:
        kind: What is done.
        payload: What its worker is told, but for its scratch folder.
        settings: The job's.
        places: What is read and written, by what it is to the job.
        foreign: Checkpoints by role that are not this machine's published ones.
    """

    kind: Kind
    payload: Json
    settings: Settings
    places: tuple[tuple[str, str], ...]
    foreign: tuple[tuple[str, str], ...]


def rebuild(letter: Json, registry: Registry) -> Rebuilt:
    """Return the task of a dead letter.

    Args:
        letter: The letter.
        registry: This machine's checkpoints: of the published ones its own are taken.

    Raises:
        StateError: The letter is not one that a run wrote, or secrets were cut from it.
    """
    task = str(letter["task"])
    told: Json = letter["payload"]
    try:
        kind = _kind_of(task, str(letter["kind"]))
        plain: Json = _PAYLOAD.dump_python(_PAYLOAD.validate_json(json.dumps(told)))
        settings = Settings.model_validate_json(plain["job"]["settings"])
    except (ValidationError, ValueError) as error:
        what = str(error).splitlines()
        got = " ".join(line.strip() for line in what[1:3]) or what[0]
        raise StateError("bad_letter", f"dead letter of {task}", "must be as a run writes it", got[:300]) from error
    payload = {name: plain[name] for name in (field.name for field in fields(cast("Any", _Payload))) if name in told}
    settings = settings.model_copy(update={"engine": Engine(keep_segments=settings.engine.keep_segments)})
    payload["job"]["settings"] = settings.model_dump_json()
    places = tuple(_places(payload))
    cut = [place for _, place in places if GONE in place and not is_local(place)]
    if cut:
        must = "cannot be done without a secret, which is not kept"
        raise StateError("secret_in_letter", f"dead letter of {task}", must, ", ".join(cut), "Run the submit again")
    foreign: list[tuple[str, str]] = []
    for role, several in payload["weights"].items():
        if several is None:
            continue
        found = [_of_here(one, registry) for one in (several if isinstance(several, list) else [several])]
        foreign += [(role, one["path"]) for one, is_ours in found if not is_ours]
        payload["weights"][role] = [one for one, _ in found] if isinstance(several, list) else found[0][0]
    return Rebuilt(kind, payload, settings, places, tuple(foreign))


def _kind_of(task: str, kind: str) -> Kind:
    """Return what a task does, as its name and its letter say.

    Raises:
        ValueError: They do not agree, or there is no such kind.
    """
    found: list[Kind] = [one for one in LANES if one == kind and task.startswith(f"{kind}:")]
    if not found:
        raise ValueError(f"{kind} for {task}")
    return found[0]


def _of_here(record: Json, registry: Registry) -> tuple[Json, bool]:
    """Return this machine's own record of a checkpoint, and whether it has one of those bytes."""
    try:
        weights = registry.resolve(record["name"], record["network"])
    except LipwiseError:
        return record, False
    return (weights.record(), True) if weights.sha256 == record["sha256"] else (record, False)


def _places(payload: Json) -> Iterator[tuple[str, str]]:
    job: Json = payload["job"]
    named = {"video": job["video"], "audio": job["audio"], "tracks": job["tracks"], "output": job["output_address"]}
    yield from ((name, place) for name, place in {**named, "reference": payload.get("reference")}.items() if place)
    for speaker in job["speakers"]:
        yield "audio", speaker["audio"]
    for address in (*(payload.get("portraits") or {}), *(payload.get("portrait") or ())[:1]):
        yield "portrait", address
