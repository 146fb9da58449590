"""Descriptions of work: small, JSON-able, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lipwise_ray.values import Json

Kind = Literal[
    "probe",
    "check",
    "scan",
    "listen",
    "recognise",
    "plan",
    "sound",
    "transcribe",
    "render",
    "score",
    "assemble",
    "examine",
    "measure",
    "conclude",
    "weigh",
    "settle",
]
Lane = Literal["cpu", "gpu"]
ALL_LANES: tuple[Lane, ...] = ("gpu", "cpu")
LANES: dict[Kind, Lane] = {
    "probe": "cpu",
    "check": "gpu",
    "scan": "gpu",
    "listen": "gpu",
    "recognise": "gpu",
    "plan": "cpu",
    "sound": "cpu",
    "transcribe": "gpu",
    "render": "gpu",
    "score": "gpu",
    "assemble": "cpu",
    "examine": "cpu",
    "measure": "gpu",
    "conclude": "cpu",
    "weigh": "cpu",
    "settle": "cpu",
}
NO_WORKER_CAN = "no_worker_can"
"""Code of a task that is given up because no worker can do what it needs."""

_UNKNOWN = 1 << 62
_STAGE_ORDER: dict[Kind, int] = {
    "assemble": 0,
    "conclude": 0,
    "weigh": 0,
    "settle": 0,
    "score": 1,
    "render": 2,
    "measure": 2,
    "sound": 3,
    "transcribe": 1,
    "plan": 4,
    "listen": 5,
    "recognise": 5,
    "scan": 6,
    "probe": 7,
    "check": 7,
    "examine": 7,
}


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work.

    Attributes:
        id: Names the work, not the attempt; equal work has an equal id.
        kind: What is done.
        payload: What the worker needs, a few KB.
        frames: Size of the work for progress and estimates, 0 for none.
        rank: Lower goes first; the first number is the priority's.
        share: Whose part of the workers it takes; shares of a priority are served alike.
        needs: What a worker must be able to do, see `dubbing.abilities`.
        job_id: Whose ledger the attempts go to; empty before the job is known.
    """

    id: str
    kind: Kind
    payload: Json
    frames: int
    rank: tuple[int, ...]
    job_id: str = ""
    share: str = ""
    needs: frozenset[str] = frozenset()

    @property
    def lane(self) -> Lane:
        """Which workers may take it."""
        return LANES[self.kind]


def is_surely_missing(payload: Json) -> bool:
    """Tell whether nobody can have left a task's result, so that it need not be looked for.

    Its flow found it missing (``is_missing``), and its dispatcher knows of nobody who has worked on it since
    (``may_be_done``). Whatever a worker is told otherwise, it looks.
    """
    return bool(payload.get("is_missing")) and not payload.get("may_be_done")


def rank(kind: Kind, priority: int, turn: int, row: int, chunk: int = 0, *, frames: int | None) -> tuple[int, ...]:
    """Return a task's place in the queue: priority, age, the longest job first, then its latest stage.

    Args:
        kind: What is done.
        priority: The row's.
        turn: Its age: rows that are begun together have the same.
        row: Its line.
        chunk: The task's chunk.
        frames: The job's length; None before it is known, which is to be found out first.
    """
    return (-priority, turn, -_UNKNOWN if frames is None else -frames, row, _STAGE_ORDER[kind], chunk)
