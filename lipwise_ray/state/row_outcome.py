"""Outcome of a row of a run: its record in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, TypeAlias

from pydantic import ConfigDict

from lipwise_ray.state.job_result import DubResult, EvaluationResult, RowFailure
from lipwise_ray.state.shapes import STRICT, Count, Maybe, NonNegative, adapter_of, record_of, typed
from lipwise_ray.values import Json

RowResult: TypeAlias = EvaluationResult | DubResult | RowFailure


@dataclass(slots=True)
class Tally:
    """Chunks, scans and rendered frames that a row cost."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    chunks: Count = 0
    chunks_reused: Count = 0
    chunks_rendered: Count = 0
    scans: Count = 0
    frames_rendered: Count = 0

    def counts(self) -> dict[str, int]:
        """Return the numbers by name; `asdict` takes ten times as long, and each row of a run is counted."""
        return {name: getattr(self, name) for name in _COUNTS}


_COUNTS = tuple(one.name for one in fields(Tally))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    """Fields of every row in a run's record.

    Attributes:
        row, row_id: Its line in the manifest, and its name there.
        job_id: Names its records; empty where it never had any.
        seconds: From its start to its end.
        ended: Seconds since 1970.
        tally: What it cost.
        extra: What its manifest says besides.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row: Count
    row_id: str
    job_id: Maybe[str] = None
    seconds: Maybe[NonNegative] = None
    ended: Maybe[NonNegative] = None
    tally: Maybe[Tally] = None
    extra: Maybe[dict[str, str]] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOutcome(_Envelope):
    """Outcome of a row; its record holds the fields of every row and those of its result side by side."""

    result: RowResult

    @property
    def status(self) -> Literal["done", "failed"]:
        """Status of the row: ``done`` where there is a video, or its figures."""
        return self.result.status

    @property
    def record(self) -> Json:
        """JSON values, which `outcome_in` reads."""
        return {**record_of(self.result), **adapter_of(_Envelope).dump_python(self, mode="json")}


def outcome_in(record: Json | None) -> RowOutcome | None:
    """Return the outcome in a row's record; None for one that is missing, damaged or another."""
    envelope = typed(record, _Envelope)
    result = typed(record, EvaluationResult) or typed(record, DubResult) or typed(record, RowFailure)
    if envelope is None or result is None:
        return None
    return RowOutcome(
        row=envelope.row,
        row_id=envelope.row_id,
        job_id=envelope.job_id,
        seconds=envelope.seconds,
        ended=envelope.ended,
        tally=envelope.tally,
        extra=envelope.extra,
        result=result,
    )
