"""Outcomes of the rows of a run, as the state keeps them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, islice

from lipwise_ray.state import layout
from lipwise_ray.state.done_rows import reused_outcomes
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome, outcome_in
from lipwise_ray.state.store import Store, as_json

_AT_A_TIME = 256


def outcomes_of(store: Store, run_id: str) -> Iterator[tuple[RowOutcome, bool]]:
    """Yield the outcomes of a run's rows in the manifest's order, and whether they had tasks in this run.

    Args:
        store: The state.
        run_id: The run.

    Raises:
        StorageError: The state cannot be read.
    """
    return heapq.merge(
        chain.from_iterable(_recorded(store, run_id)),
        ((outcome, False) for outcome in reused_outcomes(store, run_id)),
        key=lambda one: one[0].row,
    )


def _recorded(store: Store, run_id: str) -> Iterator[list[tuple[RowOutcome, bool]]]:
    """Yield the recorded outcomes of a run's rows in the manifest's order, some at a time, read side by side; and True.

    Their jobs had tasks in this run; those of rows that it found unchanged had none.
    """
    keys = (one.key for one in store.listing(layout.rows(run_id)))
    while some := list(islice(keys, _AT_A_TIME)):
        yield [(_outcome(key, data), True) for key, data in zip(some, store.read_all(some), strict=True)]


def _outcome(key: str, data: bytes | None) -> RowOutcome:
    line = key.rpartition("/")[2].split("-")[0]
    number = int(line) if line.isdecimal() else 0
    message = f"{key}: the record is damaged. Run the same command again."
    damaged = RowFailure(code="damaged_record", message=message)
    return outcome_in(as_json(data)) or RowOutcome(row=number, row_id=f"line {number}", result=damaged)
