"""Tasks of a scheduler, their kinds, and the failures of attempts. Knows nothing of what they do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Generic, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from lipwise_ray.state.shapes import adapter_of
from lipwise_ray.values import Json

Lane = Literal["cpu", "gpu"]
ALL_LANES: tuple[Lane, ...] = ("gpu", "cpu")
_UNKNOWN = 1 << 62

Blame = Literal["input", "setup", "application", "storage", "signer", "crash", "stalled", "memory", "node"]
"""Party at fault.

``input`` the row's files; ``setup`` its settings or weights; ``application`` the code or its surroundings; ``storage``
a disk or store that is full or refuses, whatever the task; ``signer`` what signs finished files; ``crash`` a worker's
process died on a living node; ``stalled`` nothing moved until the deadline, and the worker was killed; ``memory`` the
host or the GPU ran out of it; ``node`` the machine is gone or about to go. A worker that does not start never had a
task; its node answers for it.
"""


OUTSIDE: frozenset[Blame] = frozenset({"storage", "signer"})
"""Those that no task is to blame for and no other way round helps: once they work the same command goes on."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of an attempt.

    Attributes:
        blame: The party at fault.
        code: A stable word for machines.
        message: For people.
        detail: A traceback, for the ledger.
        log: The end of what the worker printed during the attempt.
    """

    blame: Blame
    code: str
    message: str
    detail: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """Result of a task, as far as a scheduler looks at it.

    Attributes:
        reused: An earlier attempt had left it, and nothing was done.
        problem: What people are to be told of besides; mostly nothing.
    """

    reused: bool = False
    problem: str = ""


P = TypeVar("P")
R = TypeVar("R", bound=TaskResult)


@dataclass(frozen=True, slots=True, eq=False)
class TaskKind(Generic[P, R]):
    """A kind of work.

    Attributes:
        name: Begins the ids of its tasks; stands in dead letters and labels metrics.
        lane: Which workers take it.
        order: Among the tasks of a row the lower goes first: what is nearer to its end.
        payload: What its worker is told.
        result: What its worker gives back.
        counts_frames: Its worker counts frames while it runs, so that one which stands still is noticed soon.
        optional: A row goes on without what it gives.
        admits: Tasks of that kind that follow it wait until the run has room for their row, and those beside them.
    """

    name: str
    lane: Lane
    order: int
    payload: type[P]
    result: type[R]
    counts_frames: bool = field(default=False, kw_only=True)
    optional: bool = field(default=False, kw_only=True)
    admits: AnyKind | None = field(default=None, kw_only=True)

    def write_payload(self, payload: P) -> bytes:
        """Return a payload as JSON."""
        return adapter_of(self.payload).dump_json(payload)

    def read_payload(self, data: bytes) -> P:
        """Read the JSON of `write_payload`."""
        return adapter_of(self.payload).validate_json(data)

    def write_result(self, result: R) -> bytes:
        """Return a result as JSON."""
        return adapter_of(self.result).dump_json(result)

    def read_result(self, data: bytes) -> R:
        """Read the JSON of `write_result`."""
        return adapter_of(self.result).validate_json(data)

    def record_of(self, payload: P) -> Json:
        """Return a payload as dead letters hold it: the fields of its parts stand side by side."""
        values = adapter_of(self.payload).dump_python(payload, mode="json")
        parts = [values.pop(name) or {} for name in _parts(self.payload)]
        return {name: value for part in (*parts, values) for name, value in part.items()}

    def payload_of(self, record: Json) -> P:
        """Read a record of `record_of`; keys that such a payload does not have are left out.

        Raises:
            pydantic.ValidationError: It is none.
        """
        told = {**record, **{name: record for name, needed in _parts(self.payload).items() if needed & record.keys()}}
        return adapter_of(self.payload).validate_json(json.dumps(told))


AnyKind: TypeAlias = TaskKind[Any, Any]


@cache
def _parts(payload: type) -> dict[str, frozenset[str]]:
    """Return the parts of a payload that have fields of their own, and which."""
    shapes = [
        (name, shape)
        for name, hint in get_type_hints(payload).items()
        for shape in (hint, *(get_args(hint) if get_origin(hint) in (Union, UnionType) else ()))
        if is_dataclass(shape)
    ]
    return {name: frozenset(one.name for one in fields(shape)) for name, shape in shapes}


@dataclass(frozen=True, slots=True)
class Hints:
    """Hints to a worker that spare it a look-up, or have it take smaller batches.

    Attributes:
        is_missing: Its flow found the task's result missing.
        may_be_done: Somebody may have worked on it since; whatever a worker is told otherwise, it looks.
        batch_halvings: How often batches are halved, for want of memory.
    """

    is_missing: bool = False
    may_be_done: bool = False
    batch_halvings: int = 0

    @property
    def is_surely_missing(self) -> bool:
        """True where nobody can have left the task's result, so that it need not be looked for."""
        return self.is_missing and not self.may_be_done


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work.

    Attributes:
        id: Names the work, not the attempt; equal work has an equal id.
        kind: What is done.
        payload: What the worker needs, a few KB.
        frames: Size of the work for progress and estimates, 0 for none.
        rank: Lower goes first; the first number is the priority's.
        job_id: Whose ledger the attempts go to; empty before the job is known.
        tenant: Whose part of the workers it takes; tenants of a priority are served alike.
        needs: What a worker must be able to do.
        row_id: The row that it is done for.
        hints: What its worker may go by.
    """

    id: str
    kind: AnyKind
    payload: Any
    frames: int
    rank: tuple[int, ...]
    job_id: str = ""
    tenant: str = ""
    needs: frozenset[str] = frozenset()
    row_id: str = ""
    hints: Hints = Hints()

    @property
    def lane(self) -> Lane:
        """Lane of the workers that may take it."""
        return self.kind.lane


def rank(
    kind: AnyKind, priority: int, admission_round: int, row: int, chunk: int = 0, *, frames: int | None
) -> tuple[int, ...]:
    """Return a task's place in the queue: priority, age, the longest job first, then its latest stage.

    Args:
        kind: What is done.
        priority: The row's.
        admission_round: Its age: rows that are begun together have the same.
        row: Its line.
        chunk: The task's chunk.
        frames: The job's length; None before it is known, which is to be found out first.
    """
    return (-priority, admission_round, -_UNKNOWN if frames is None else -frames, row, kind.order, chunk)
