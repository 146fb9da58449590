"""Times at which the records of a state were last used, as the records of its runs say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lipwise_ray.state import done_rows, layout
from lipwise_ray.state.run_records import RunEnd, RunRecord
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.state.store import Store, as_json
from lipwise_ray.values import Json

_AT_A_TIME = 64
_ID = re.compile(r"[A-Za-z0-9_-]{8,100}")


@dataclass(slots=True)
class LastUses:
    """Times at which records were last used, in seconds since 1970.

    Attributes:
        times: Of each video's, audio's and job's last use, by the names of their folders.
        unended_s: Start of the first run without an end: what was written from then on, a run that was killed may have
            written without a record that names it. Infinite where every run has ended.
    """

    times: dict[str, float] = field(default_factory=dict)
    unended_s: float = math.inf


def last_uses(store: Store) -> LastUses:
    """Return the times of the last uses of a state's records.

    Runs are among them themselves, by when they ended. What no run's record names is not there. A row that was found
    done counts as much as one that was made; of a failed one its plan tells what it had used.

    Args:
        store: The state.

    Raises:
        StorageError: The store refuses.
    """
    uses = LastUses()
    used = uses.times

    def note(record: object, time_s: float) -> None:
        for name in _ids(record):
            used[name] = max(used.get(name, 0.0), time_s)

    for run_id in store.folders(layout.RUNS):
        begun = read_typed(store, layout.run_record(run_id), RunRecord)
        if begun is None or not begun.begun:
            continue
        end_key = f"{layout.run(run_id)}/report.json"
        if store.size(end_key) is None:
            uses.unended_s = min(uses.unended_s, begun.begun)
        end = read_typed(store, end_key, RunEnd)
        ended_s = begun.begun + (end.seconds if end else 0.0)
        for record in _row_records(store, run_id):
            told_s = record.get("ended")
            row_s = float(told_s) if isinstance(told_s, int | float) else begun.begun
            ended_s = max(ended_s, row_s)
            note({name: record.get(name) for name in ("job_id", "identity", "attempts")}, row_s)
            job_id = record.get("job_id")
            if record.get("status") == "failed" and isinstance(job_id, str) and _ID.fullmatch(job_id):
                note(as_json(store.read(layout.plan(job_id))), row_s)
        for outcome in done_rows.reused_outcomes(store, run_id):
            record = outcome.record
            note({name: record.get(name) for name in ("job_id", "identity", "attempts")}, ended_s)
        used[run_id] = max(used.get(run_id, 0.0), ended_s)
    return uses


def _row_records(store: Store, run_id: str) -> Iterator[Json]:
    keys = store.names(layout.rows(run_id))
    for start in range(0, len(keys), _AT_A_TIME):
        for data in store.read_all(keys[start : start + _AT_A_TIME]):
            record = as_json(data)
            if record is not None:
                yield record


def _ids(value: object) -> Iterator[str]:
    """Yield the texts of a record that may be ids."""
    if isinstance(value, str):
        if _ID.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _ids(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _ids(inner)
