"""Shapes of a state's records. One of another shape counts as missing: it is made again, or found out anew.

Only what is read back is described: records of other versions may hold more. Numbers are bounded, and what becomes part
of a key leads nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import field
from functools import cache, partial
from operator import is_
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lipwise_ray.state.store import Store, read_json
from lipwise_ray.values import Json

Shape = TypeVar("Shape")

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Figure = Annotated[float, Field(ge=-1e15, le=1e15)]
NonNegative = Annotated[float, Field(ge=0, le=1e15)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
Label = Annotated[str, Field(max_length=64)]
Maybe = Annotated[Shape | None, Field(exclude_if=partial(is_, None))]
"""A field that records leave out where it is None; other fields are written as null."""


@dataclass(frozen=True, slots=True, config=STRICT)
class FormatRecord:
    """Layout of the state: see `state.format`."""

    layout: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Epoch:
    """Record of a state's driver, which writes it once. Without ``space`` it was written by an earlier version.

    One that was written ``released`` was never held: it ends the hold of a driver that showed no life.

    Attributes:
        run_id: Name of the driver's run.
        host, pid: Its machine and process.
        started: Start of that process, by which it differs from a later one of the same number.
        space: Id of the space in which a process number means one process; empty where that is unknown.
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
class LeaseRecord:
    """A task that is handed out, as a beat tells of it."""

    task: str
    worker: str
    attempt: Count
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class WorkerMemory:
    """Memory of a worker's process, of its machine and of its GPU, as a beat tells of it, in bytes.

    Attributes:
        worker, node: The worker and its node.
        host: Name of its machine.
        rss_bytes: Resident memory of its process.
        used_bytes, total_bytes: Of the machine.
        gpu_used_bytes, gpu_total_bytes: Of its GPU, whoever uses it; 0 without one.
    """

    worker: str
    node: str
    host: str
    rss_bytes: Count
    used_bytes: Count
    total_bytes: Count
    gpu_used_bytes: Count = 0
    gpu_total_bytes: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class FailedTry:
    """A failed attempt at a task, as its dead letter and the events record it.

    Attributes:
        message: For people.
        time: Seconds since 1970.
        attempt: Number of the attempt, from 1 on.
        worker, node: Its worker and node.
        blame: Party at fault (`scheduler.task.Blame`).
        code: A stable word for machines.
        detail: A traceback.
        log: End of the worker's log of this attempt.
    """

    message: str = ""
    time: NonNegative = 0.0
    attempt: Count = 0
    worker: str = ""
    node: str = ""
    blame: str = ""
    code: str = ""
    detail: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Letter:
    """A dead letter: a task that used up its budget.

    Attributes:
        task: Its id.
        kind: The name of its kind.
        job_id: The job that it belongs to, empty for none.
        payload: What its worker got.
        attempts: Every failed attempt, with the traceback and the end of the worker's log.
        frames: How many it has to go through.
        nodes: Where it was tried.
        time: When it was given up, in Unix seconds.
        reproduce: The command that does it alone.
    """

    task: str
    kind: str
    job_id: str
    payload: dict[str, Any]
    attempts: Annotated[list[FailedTry], Field(min_length=1)]
    frames: Count = 0
    nodes: list[str] = field(default_factory=list[str])
    time: NonNegative = 0.0
    reproduce: str = ""


def typed(record: Json | None, shape: type[Shape]) -> Shape | None:
    """Return a record as a value of a shape; None where it is of another."""
    if record is None:
        return None
    try:
        return adapter_of(shape).validate_json(json.dumps(record))
    except (ValidationError, RecursionError):
        return None


def typed_in(line: bytes, shape: type[Shape]) -> Shape | None:
    """Return a line of a log of this shape alone as its value; None where it is of another, or half written."""
    try:
        return adapter_of(shape).validate_json(line)
    except ValidationError:
        return None


def shaped(record: object, shape: type[Shape]) -> Shape:
    """Return JSON values of this program's own as a value of a shape; texts may hold bytes that are not UTF-8.

    Raises:
        pydantic.ValidationError: They are not.
    """
    return adapter_of(shape).validate_python(record, strict=False)


def read_typed(store: Store, key: str, shape: type[Shape]) -> Shape | None:
    """Return a record of the state as a value of a shape; None where it is missing, damaged or of another."""
    return typed(read_json(store, key), shape)


def record_of(value: object) -> Json:
    """Return a typed record as JSON values."""
    return adapter_of(type(value)).dump_python(value, mode="json")


def amended(record: Json, value: object, *fields: str) -> Json:
    """Return a record with these fields of its typed form; what other versions wrote beside them stays.

    Args:
        record: The record, with all that other versions wrote.
        value: Its typed form, with new values.
        fields: Names of the fields to take from it; one that its type leaves out stays as it was.
    """
    now = record_of(value)
    return record | {name: now[name] for name in fields if name in now}


@cache
def adapter_of(shape: type[Shape]) -> TypeAdapter[Shape]:
    """Return the adapter that reads and writes values of a type; it is made once."""
    return TypeAdapter(shape)
