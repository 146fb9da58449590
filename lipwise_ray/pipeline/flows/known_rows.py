"""A batch of rows that an earlier run had done, which one task looks at together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lipwise_ray.pipeline.dubbing.task_parts import RowPart
from lipwise_ray.pipeline.flows.task_kinds import RECHECK, KnownRow, RecheckPayload, RecheckResult
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.scheduler.task import Task, TaskResult, rank
from lipwise_ray.state.done_rows import DoneRow
from lipwise_ray.state.ids import record_id
from lipwise_ray.state.row_outcome import Tally


@dataclass(frozen=True, slots=True)
class RecheckedRow:
    """A row of the batch.

    Attributes:
        row: The manifest's.
        known: What its worker compares.
        done: What an earlier run left of it.
    """

    row: Row
    known: KnownRow
    done: DoneRow


@dataclass(slots=True, eq=False)
class KnownRows:
    """A batch of rows, for one task.

    Attributes:
        base: Part of a row's payload, whose settings say what may be read for all of them.
        priority: Of the first.
        tenant: Of the first.
        rows: The rows.
        again: Takes each row that is not what it was.
    """

    base: RowPart
    priority: int
    tenant: str
    again: Callable[[list[Row]], None]
    rows: list[RecheckedRow] = field(default_factory=list[RecheckedRow])
    _begun_s: float = field(default_factory=time.monotonic)

    @property
    def task(self) -> Task:
        """The task that looks at all of them."""
        first = self.rows[0].row.number
        return Task(
            id=f"{RECHECK.name}:{first}/{record_id({'rows': [one.done.digest for one in self.rows]})}",
            kind=RECHECK,
            payload=RecheckPayload(self.base, tuple(one.known for one in self.rows)),
            frames=0,
            rank=rank(RECHECK, self.priority, 0, first, frames=None),
            tenant=self.tenant,
            row_id=self.rows[0].row.id,
        )

    def unchanged(self, result: TaskResult | None, unwanted: Callable[[str], bool]) -> Sequence[DoneRow]:
        """Return the rows that are done, with their outcomes in this run; the others have to be begun."""
        changed = set(result.changed if isinstance(result, RecheckResult) else range(len(self.rows)))
        changed |= {number for number, one in enumerate(self.rows) if unwanted(one.row.id)}
        self.again([self.rows[number].row for number in sorted(changed)])
        seconds = (time.monotonic() - self._begun_s) / len(self.rows)
        ended = round(time.time(), 3)
        return [_now(one, seconds, ended) for number, one in enumerate(self.rows) if number not in changed]


def _now(one: RecheckedRow, seconds: float, ended: float) -> DoneRow:
    """Return a row with its outcome in this run."""
    result, row = one.done.result, one.row
    return DoneRow(
        digest=one.done.digest,
        inputs=one.done.inputs,
        row=row.number,
        row_id=row.id,
        seconds=round(seconds, 3),
        ended=ended,
        tally=Tally(chunks=result.chunks, chunks_reused=result.chunks),
        extra=row.extra or None,
        result=result if result.reused else replace(result, reused=True),
    )
