"""Descriptions of work: small, JSON-able, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lipwise_ray.values import Json

Kind = Literal["probe", "scan", "plan", "render", "assemble"]
Lane = Literal["cpu", "gpu"]
LANES: dict[Kind, Lane] = {"probe": "cpu", "scan": "gpu", "plan": "cpu", "render": "gpu", "assemble": "cpu"}
_STAGE_ORDER: dict[Kind, int] = {"assemble": 0, "render": 1, "plan": 2, "scan": 3, "probe": 4}


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work.

    Attributes:
        id: Names the work, not the attempt; equal work has an equal id.
        kind: What is done.
        payload: What the worker needs, a few KB.
        frames: Size of the work for progress and estimates, 0 for none.
        rank: Lower goes first.
        job_id: Whose ledger the attempts go to; empty before the job is known.
    """

    id: str
    kind: Kind
    payload: Json
    frames: int
    rank: tuple[int, ...]
    job_id: str = ""

    @property
    def lane(self) -> Lane:
        """Which workers may take it."""
        return LANES[self.kind]


def rank(kind: Kind, priority: int, row: int, chunk: int = 0) -> tuple[int, ...]:
    """Return a task's place in the queue: priority, then the oldest row, then its latest stage."""
    return (-priority, row, _STAGE_ORDER[kind], chunk)
