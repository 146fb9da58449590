"""What records of a state must be like. One that is not counts as missing: it is made again, or found out anew.

Only what is read back is described: records of other versions may hold more. Numbers are bounded, and what becomes part
of a key leads nowhere else.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lipwise_ray.state.store import Store, read_json
from lipwise_ray.values import Json

Shape = TypeVar("Shape")

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Figure = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(ge=0, le=1e15)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
Label = Annotated[str, Field(max_length=64)]


@dataclass(frozen=True, slots=True, config=STRICT)
class FormatRecord:
    """How the state is laid out: see `state.format`."""

    layout: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Epoch:
    """Who drives: written once, by the driver. Without ``space`` it was written by an earlier version.

    One that was written ``released`` was never held: it ends the hold of a driver that showed no life.
    """

    run_id: str = ""
    host: str = ""
    pid: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    started: str | float = ""
    space: str = ""
    released: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class Beat:
    """A driver's sign of life."""

    beat: Count
    released: bool


@dataclass(frozen=True, slots=True, config=STRICT)
class NightFigures:
    """What a night that has ended came to: see `engine.night_record.NightRecord`."""

    ended: Positive
    exit_code: Count
    done: Count = 0
    failed: Count = 0
    left: Count = 0
    refused: Count = 0


@dataclass(frozen=True, slots=True, config=STRICT)
class Lease:
    """A task that is handed out, as a beat tells of it."""

    task: str
    worker: str
    attempt: Count


@dataclass(frozen=True, slots=True, config=STRICT)
class _Heard:
    mixes: dict[str, str]
    lufs: Figure | None


@dataclass(frozen=True, slots=True, config=STRICT)
class SoundRecord:
    """A sound that was decoded: see `media.audio.Sound`."""

    pipeline: Count
    layout: str
    heard: _Heard
    holes: Count
    hole_s: Positive
    changes: Count
    samples: Annotated[int, Field(ge=1, le=1 << 53)]
    rate_hz: Annotated[int, Field(ge=1, le=1 << 24)]
    mel_columns: Annotated[int, Field(ge=1, le=1 << 40)]
    mel_sha256: Sha256
    mfcc_sha256: Sha256


@dataclass(frozen=True, slots=True, config=STRICT)
class TranscriptRecord:
    """What is said in a sound."""

    language: str | None
    by_sound: str | None = None
    by_text: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class _Score:
    lse_d: Figure | None = None
    lse_c: Figure | None = None
    sync_distance: Figure | None = None
    sync_confidence: Figure | None = None
    offset: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    windows: Count | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Sync:
    judge: str | None = None
    judge_sha256: str | None = None
    source: _Score | None = None
    before: _Score | None = None
    after: _Score | None = None
    why: dict[str, str] | None = None
    curve: list[Figure | None] | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Flicker:
    dubbed: Figure | None = None
    filmed: Figure | None = None
    faces: Count | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Weights:
    name: str
    sha256: str
    licence: str | None = None
    commercial: Any = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Attempt:
    settings: dict[str, Any]
    verdict: str
    job_id: str | None = None
    code: str | None = None
    message: str | None = None
    render_s: Positive | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Gate:
    verdict: str | None = None
    reasons: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class RowRecord:
    """How a row ended, as far as reports read it."""

    status: Literal["done", "failed"]
    row: Count | None = None
    row_id: str | None = None
    code: str | None = None
    message: str | None = None
    stage: str | None = None
    job_id: str | None = None
    output: str | None = None
    language: str | None = None
    tags: list[str] | None = None
    frames: Count | None = None
    chunks: Count | None = None
    original_chunks: list[Count] | None = None
    bytes_total: Count | None = None
    video_s: Positive | None = None
    audio_s: Positive | None = None
    render_s: Positive | None = None
    seconds: Positive | None = None
    ended: Positive | None = None
    counts: dict[str, Count] | None = None
    stages_s: dict[str, Positive] | None = None
    tally: dict[str, Count] | None = None
    sync: _Sync | None = None
    flicker: _Flicker | None = None
    fidelity: dict[str, Any] | None = None
    gate: _Gate | None = None
    attempts: list[_Attempt] | None = None
    weights: dict[str, _Weights | list[_Weights] | None] | None = None
    identity: dict[str, Any] | None = None
    protocol: str | None = None
    version: str | None = None
    reused: bool | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class PlannedRow:
    """A row that a run set out to do."""

    row: Count
    row_id: str
    output: str | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Seen:
    """A published file as it was when it was last known to be whole.

    ``tag`` changes with the contents: a time stamp of a file, what the store says of an object.
    """

    size: Count
    tag: str


@dataclass(frozen=True, slots=True, config=STRICT)
class ResultRecord:
    """What of a published job's `RowRecord` has to be there."""

    status: Literal["done"]
    job_id: str
    output: str
    frames: Count
    chunks: Count
    bytes_total: Count
    sha256: Sha256
    render_s: Positive | None = None
    identity: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class EvaluationRecord:
    """What of the `RowRecord` of a video that was measured has to be there."""

    status: Literal["done"]
    job_id: str
    frames: Count
    chunks: Count


@dataclass(frozen=True, slots=True, config=STRICT)
class Request:
    """What asked for a run: all that is needed to ask for it again, and nothing that tells others of it.

    Attributes:
        verb: The command.
        files: The manifest; or the videos that are evaluated.
        references: What these are compared with.
        job: The settings file.
        assignments: Single settings.
        preset, out, address, workers, fail_above, as_json, verify, shard: The options of these names.
    """

    verb: Literal["submit", "evaluate"]
    files: Annotated[list[str], Field(min_length=1)]
    references: list[str] = Field(default_factory=list[str])
    job: str | None = None
    assignments: list[str] = Field(default_factory=list[str])
    preset: str | None = None
    out: str | None = None
    address: str | None = None
    workers: Annotated[int, Field(ge=0, le=4096)] | None = None
    fail_above: Annotated[float, Field(ge=0, le=1)] = 0.0
    as_json: bool = False
    verify: bool = False
    shard: str | None = None
    sent_to: str | None = None
    """The dashboard that it was sent to, as whoever sent it knew it; its files are then on that machine."""
    is_cut: bool | None = None
    """Its words held secrets, which a record does not keep; None where an earlier version did not say."""


@dataclass(frozen=True, slots=True, config=STRICT)
class RunRecord:
    """What a run was begun with; ``command`` is what earlier versions kept in place of ``request``.

    ``rows`` are those of its shard, where it has one, and ``rows_total`` those of its whole manifest.
    """

    run_id: str
    manifest: str
    rows: Count
    out: str = ""
    begun: Positive = 0.0
    request: Request | None = None
    command: list[str] | None = None
    folder: str = ""
    shard: Annotated[str, Field(pattern=r"^\d{1,4}/\d{1,4}$")] | None = None
    manifest_sha256: str = ""
    rows_total: Count | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class EndRecord:
    """What a run came to."""

    done: Count = 0
    failed: Count = 0
    left: Count = 0
    seconds: Positive = 0.0
    frames_rendered: Count = 0
    fid: Figure | None = None
    fid_pictures: Count | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class _Failed:
    message: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Letter:
    """A dead letter."""

    task: str
    kind: str
    job_id: str
    payload: dict[str, Any]
    attempts: Annotated[list[_Failed], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class BacklogRecord:
    """What became of a manifest of the backlog."""

    name: str
    tag: str
    status: Literal["waiting", "left", "begun", "done", "refused"]
    message: str | None = None
    night: str | None = None
    run_id: str | None = None
    done: Count | None = None
    failed: Count | None = None
    left: Count | None = None


def typed(record: Json | None, shape: type[Shape]) -> Shape | None:
    """Return a record as what it must be, or None."""
    if record is None:
        return None
    try:
        return _adapter(shape).validate_json(json.dumps(record))
    except (ValidationError, RecursionError):
        return None


def checked(record: Json | None, shape: type[Any]) -> Json | None:
    """Return a record if it is what it must be, else None."""
    return record if typed(record, shape) is not None else None


def read_typed(store: Store, key: str, shape: type[Shape]) -> Shape | None:
    """Return a record of the state as what it must be; None where it is missing, damaged or another."""
    return typed(read_json(store, key), shape)


def read_checked(store: Store, key: str, shape: type[Any]) -> Json | None:
    """Return a record of the state if it is what it must be; None where it is missing, damaged or another."""
    return checked(read_json(store, key), shape)


@cache
def _adapter(shape: type[Shape]) -> TypeAdapter[Shape]:
    return TypeAdapter(shape)
