"""Payloads and results of the tasks by which finished videos are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, NumberedSpan, Probed, ReferencePart, RowPayload
from lipwise_ray.scheduler.task import TaskResult
from lipwise_ray.state.job_result import EvaluationResult


@dataclass(frozen=True, slots=True)
class ExaminePayload(RowPayload):
    """Finished video whose files are to be probed."""

    comparison: ReferencePart


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMeasure:
    """Work that probing found for a finished video.

    Attributes:
        probed: Part of the payloads of its further tasks.
        frames: Frames that it has.
        chunks: Number of chunks into which it is cut.
        scan: Chunks in which faces have to be found.
        measure: Chunks that have to be measured.
        lag_s: By so much it comes later than its reference.
    """

    probed: Probed
    frames: int
    chunks: int
    lag_s: float
    scan: tuple[NumberedSpan, ...] = ()
    measure: tuple[NumberedSpan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineResult(TaskResult):
    """Evaluation of a finished video: the figures that are ``known``, or what is ``to_do``."""

    job_id: str
    known: EvaluationResult | None = None
    to_do: ToMeasure | None = None


@dataclass(frozen=True, slots=True)
class MeasurePayload(JobPayload):
    """Chunk of a finished video to be measured."""

    piece: NumberedSpan
    comparison: ReferencePart


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureResult(TaskResult):
    """Measures of a chunk, which the state has. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True)
class ConcludePayload(JobPayload):
    """Finished video whose measures are to be summed up."""

    comparison: ReferencePart


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludeResult(TaskResult):
    """Figures of a video; or what is ``missing`` for them."""

    evaluated: EvaluationResult | None = None
    missing: str = ""
