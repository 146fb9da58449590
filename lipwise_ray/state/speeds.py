"""Speeds of a state's latest jobs: a small record a run, because to list all jobs takes longer every night."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.row_outcome import RowResult
from lipwise_ray.state.shapes import STRICT, Label, record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json

LATEST_JOBS = 200
MOST_RUNS = 64
"""Records of earlier ones are not read."""

_RUNS_AT_A_TIME = 16
_Some = Annotated[int, Field(ge=1, le=1 << 53)]


@dataclass(frozen=True, slots=True, config=STRICT)
class JobSpeed:
    """Render time of a job's chunks.

    Attributes:
        frames: Of its video.
        chunks: Into which it was cut.
        render_s: Busy seconds of all of them.
        device: ``cpu`` or ``cuda``.
    """

    frames: _Some
    chunks: _Some
    render_s: Annotated[float, Field(gt=0, le=1e15)]
    device: Label = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class _Record:
    jobs: Annotated[list[JobSpeed], Field(max_length=LATEST_JOBS)]


def speed_of(result: RowResult) -> JobSpeed | None:
    """Return the speed of a row's job; None where its result does not hold it, or was there before."""
    if not isinstance(result, DubResult) or result.reused or not (result.render_s and result.frames and result.chunks):
        return None
    return JobSpeed(result.frames, result.chunks, result.render_s, str((result.identity or {}).get("device", "")))


def write_speeds(store: Store, run_id: str, jobs: Sequence[JobSpeed]) -> None:
    """Write the speeds of a run's latest jobs; of a run without any nothing is written.

    Args:
        store: The state.
        run_id: Id of the run.
        jobs: Speeds in the order in which the jobs ended; the last ones are kept.

    Raises:
        StorageError: The state cannot be written.
    """
    if jobs:
        store.write(layout.speed(run_id), to_json(record_of(_Record(list(jobs[-LATEST_JOBS:])))))


def latest_speeds(store: Store) -> list[JobSpeed]:
    """Return the speeds of the latest jobs, the latest first."""
    keys = store.names(layout.SPEEDS)[-MOST_RUNS:][::-1]  # runs are named after the time at which they began
    found: list[JobSpeed] = []
    for start in range(0, len(keys), _RUNS_AT_A_TIME):
        for data in store.read_all(keys[start : start + _RUNS_AT_A_TIME]):
            record = typed(as_json(data), _Record)
            found += record.jobs[::-1] if record else []
        if len(found) >= LATEST_JOBS:
            break
    return list(islice(found, LATEST_JOBS))
