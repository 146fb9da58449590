"""What the tasks of each kind give back: to their flows, and to people by `lipwise-ray reproduce`.

`pydantic.TypeAdapter` reads and writes it at borders of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lipwise_ray.pipeline.dubbing.task_parts import NO_REPAIRS, NumberedSpan, Probed, Repairs
from lipwise_ray.scheduler.task import TaskResult
from lipwise_ray.state.job_result import DubResult, EvaluationResult, VideoMeasures
from lipwise_ray.values import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ToDo:
    """What is to be done for a row that was probed.

    Attributes:
        probed: What its tasks are told.
        frames: Of its video.
        scan: Chunks in which faces have to be found.
        listen: Chunks in which lips have to be compared with the original audio.
        recognise: Chunks in which faces have to be embedded.
        portraits: Identities, by address, of portraits whose faces have to be embedded.
        needs_check: Its encoder has to be tried where it is.
    """

    probed: Probed
    frames: int
    scan: tuple[NumberedSpan, ...] = ()
    listen: tuple[NumberedSpan, ...] = ()
    recognise: tuple[NumberedSpan, ...] = ()
    portraits: Mapping[str, str] = field(default_factory=dict[str, str])
    needs_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult(TaskResult):
    """What was found out about a row: what an earlier run ``published``, or what is ``to_do``."""

    job_id: str
    published: DubResult | None = None
    to_do: ToDo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult(TaskResult):
    """An encoder was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult(TaskResult):
    """Faces were found; the state has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenResult(TaskResult):
    """Lips were compared; the state has how they agree. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniseResult(TaskResult):
    """Faces were embedded; the state has the embeddings. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult(TaskResult):
    """How a job's output is cut into ``chunks``, and which are ``done``; without a plan, what is ``missing`` for it."""

    chunks: tuple[Span, ...] = ()
    done: tuple[int, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundResult(TaskResult):
    """Audio was prepared, to be ``copied`` or encoded; ``sound`` is its key, empty where it is the row's own."""

    copied: bool
    sound: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeResult(TaskResult):
    """The language that was heard; None where nothing was said."""

    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderResult(TaskResult):
    """A chunk was rendered; busy ``seconds``, and those of its ``stages``."""

    frames: int
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult(TaskResult):
    """A chunk was scored; ``missing`` are chunks that have to be rendered again first."""

    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighResult(TaskResult):
    """What a rendered video is like, as the gate judges it; or what has to be made again."""

    measures: VideoMeasures | None = None
    repairs: Repairs = NO_REPAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleResult(TaskResult):
    """What was published; or what has to be made again."""

    published: DubResult | None = None
    repairs: Repairs = NO_REPAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleResult(TaskResult):
    """The published attempt."""

    published: DubResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMeasure:
    """What is to be done for a finished video.

    Attributes:
        probed: What its tasks are told.
        frames: It has.
        chunks: Into which it is cut.
        scan: Chunks in which faces have to be found.
        measure: Chunks that have to be measured.
    """

    probed: Probed
    frames: int
    chunks: int
    scan: tuple[NumberedSpan, ...] = ()
    measure: tuple[NumberedSpan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineResult(TaskResult):
    """What was found out about a finished video: the figures that are ``known``, or what is ``to_do``."""

    job_id: str
    known: EvaluationResult | None = None
    to_do: ToMeasure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureResult(TaskResult):
    """A chunk was measured; the state has what. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludeResult(TaskResult):
    """A video's figures; or what is ``missing`` for them."""

    evaluated: EvaluationResult | None = None
    missing: str = ""
