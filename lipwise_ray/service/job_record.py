"""Jobs and batches of a service, as its doors and its state have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from lipwise_ray.errors import ManifestError
from lipwise_ray.state.shapes import STRICT, Count, Id, Maybe, NonNegative

JobStatus: TypeAlias = Literal["pending", "processing", "completed", "failed", "cancelled"]
JsonObject: TypeAlias = dict[str, JsonValue]
MOST_PRIORITY = 1_000_000
Priority = Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)]

UNFINISHED: tuple[JobStatus, ...] = ("pending", "processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """Draft of a job, as a door hands it in.

    Attributes:
        columns: Columns of its row, as manifests of JSON lines have them, without ``id``, ``output`` and ``priority``.
        door: Name of the door.
        name: Name of the output file, without its suffix.
        asked: The door's own request, for its answers.
        webhook_url: Address that is told of its end.
        idempotency_key: Key of the client's by which the request is known again.
        fingerprint: Text that is the same for the same request; `asked` without, or else the columns.
        priority: Higher ones are begun first.
    """

    columns: JsonObject
    door: str
    name: str = "video"
    asked: JsonObject | None = None
    webhook_url: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceJob:
    """Record of a job: its row, where it stands, and what came of it.

    Attributes:
        id: Its name, also that of its row; later ones sort after earlier ones.
        created, changed: Seconds since 1970.
        status: Where it stands.
        columns: Of its row, ``id`` and ``output`` among them.
        door: Name of the door that it came through.
        name: Name of the output file, without its suffix.
        number: Number of its row in the records of runs, another one for each attempt.
        asked: The door's own request.
        webhook_url: Address that is told of its end.
        idempotency_key: Key of the client's by which the request is known again.
        batch: Id of the batch that it is part of.
        priority: Higher ones are begun first.
        attempts: Times that it was asked for: 1, and one more with each retry.
        run_id: Its latest run in the state.
        job_id: Its records in the state; None before its inputs are known. While it is at work, those of its present
            attempt at the row.
        output: Address of the finished video.
        duration_s: Duration of that, in seconds.
        code, message: Reason for which it failed; the message may name paths of this machine.
        task: Id of the task by which it failed.
        stage: Kind of that task.
        blame: Party at fault (`scheduler.task.Blame`).
        verdict, reasons: Of the gate on its video; None where none was asked for, or it has none.
        is_unwanted: Somebody cancelled it while it was at work, and its tasks have not let go of it yet.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: Id
    created: NonNegative
    changed: NonNegative
    status: JobStatus
    columns: JsonObject
    door: str
    name: str
    number: Count
    priority: Priority = 0
    attempts: Count = 1
    asked: Maybe[JsonObject] = None
    webhook_url: Maybe[str] = None
    idempotency_key: Maybe[str] = None
    batch: Maybe[Id] = None
    run_id: Maybe[str] = None
    job_id: Maybe[str] = None
    output: Maybe[str] = None
    duration_s: Maybe[NonNegative] = None
    code: Maybe[str] = None
    message: Maybe[str] = None
    task: Maybe[str] = None
    stage: Maybe[str] = None
    blame: Maybe[str] = None
    verdict: Maybe[str] = None
    reasons: Maybe[tuple[str, ...]] = None
    is_unwanted: Maybe[bool] = None

    @property
    def is_unfinished(self) -> bool:
        """True while it waits or is worked on."""
        return self.status in UNFINISHED


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A job of a batch, by the name that the client gave it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    request_id: str
    job_id: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBatch:
    """Record of jobs that were handed in together.

    Attributes:
        id: Its name; later ones sort after earlier ones.
        created: Seconds since 1970.
        door: Name of the door that it came through.
        items: Its jobs, in the client's order.
        webhook_url: Address that is told of its end.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: Id
    created: NonNegative
    door: str
    items: tuple[BatchItem, ...]
    webhook_url: Maybe[str] = None


def check_priority(priority: int) -> None:
    """Refuse a priority that no record may hold.

    Args:
        priority: The priority.

    Raises:
        ManifestError: It is out of bounds.
    """
    if abs(priority) > MOST_PRIORITY:
        got, must = f"{priority} is out of bounds", f"from -{MOST_PRIORITY} to {MOST_PRIORITY}"
        raise ManifestError("row_priority", "priority", got=got, must=must)
