"""Task kinds: payloads, results, and the table, where whatever holds for all kinds or for one is read.

Payloads and results pass borders between processes, which `pydantic.TypeAdapter` guards. Payloads are kept in dead
letters, too: what of them becomes part of a key is bounded here. Results are shown by `lipwise-ray reproduce`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.speeches import MadeSpeech
from lipwise_ray.pipeline.dubbing.task_parts import (
    NO_ATTEMPTS,
    NO_REPAIRS,
    OR_NOTHING,
    Attempts,
    JobPayload,
    NumberedSpan,
    Probed,
    RenderedSegment,
    Repairs,
    RowPayload,
)
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludePayload,
    ConcludeResult,
    ExaminePayload,
    ExamineResult,
    MeasurePayload,
    MeasureResult,
)
from lipwise_ray.pipeline.manifest.row_table import AUTO
from lipwise_ray.scheduler.task import AnyKind, TaskKind, TaskResult
from lipwise_ray.state.job_result import DubResult, Seen, VideoMeasures
from lipwise_ray.state.shapes import Count, Id, Maybe
from lipwise_ray.values import Span

_AudioKey = Annotated[str, Field(pattern=r"^(jobs/[A-Za-z0-9_-]+/sound/[a-z]+/[0-9a-f]{64}\.[a-z0-9]+)?$")]


@dataclass(frozen=True, slots=True)
class SpeakPayload(RowPayload):
    """Row whose texts are to be spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakResult(TaskResult):
    """Speech of a row's texts, in the order of the texts, which the state has; identity of their file of cues."""

    speeches: tuple[MadeSpeech, ...]
    cues_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProbePayload(RowPayload):
    """Row whose inputs are to be probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToDo:
    """Work that probing found for a row.

    Attributes:
        probed: Part of the payloads of the row's further tasks.
        frames: Frames of its video.
        scan: Chunks in which faces have to be found.
        listen: Chunks in which lips have to be compared with the original audio.
        recognise: Chunks in which faces have to be embedded.
        portraits: Identities, by address, of portraits whose faces have to be embedded.
        needs_check, looked: Its encoder has to be tried where it is; as in `window.OutputWindow`.
    """

    probed: Probed
    frames: int
    scan: tuple[NumberedSpan, ...] = ()
    listen: tuple[NumberedSpan, ...] = ()
    recognise: tuple[NumberedSpan, ...] = ()
    portraits: Mapping[str, str] = field(default_factory=dict[str, str])
    needs_check: bool = False
    looked: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult(TaskResult):
    """Job of a row: ``published`` by an earlier run, or with something ``to_do``.

    Its ``inputs`` are stamps by which they are known again, None where none tell of every change.
    """

    job_id: str
    published: DubResult | None = None
    to_do: ToDo | None = None
    inputs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row that an earlier run had done: its output, as it was ``seen`` there, and the stamps of its inputs."""

    output: str
    seen: Seen
    inputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecheckPayload(RowPayload):
    """Rows that may be done; ``row`` is one of them, for what all of them may read."""

    rows: tuple[KnownRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckResult(TaskResult):
    """Numbers of the rows of which something was ``changed`` since."""

    changed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckPayload(JobPayload):
    """Job whose encoder is to be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult(TaskResult):
    """Encoder that could be opened."""


@dataclass(frozen=True, slots=True)
class ScanPayload(JobPayload):
    """Chunk of the source in which faces are to be found."""

    piece: NumberedSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult(TaskResult):
    """Faces that were found; the state has them."""


@dataclass(frozen=True, slots=True)
class HearPayload(JobPayload):
    """Job whose lips follow states of the audio, which are to be encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HearResult(TaskResult):
    """Audio that was encoded; the state has its states."""


@dataclass(frozen=True, slots=True)
class ListenPayload(JobPayload):
    """Chunk of the source in which lips are to be compared with the original audio."""

    piece: NumberedSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenResult(TaskResult):
    """Lips that were compared; the state has their scores. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True)
class RecognisePayload(JobPayload):
    """Faces to be embedded: those in a chunk, or the one of a portrait (its address and identity)."""

    piece: NumberedSpan | None = None
    portrait: Maybe[tuple[str, Id]] = None

    def __post_init__(self) -> None:
        if (self.piece is None) == (self.portrait is None):
            raise ValueError("needs a chunk or a portrait, and not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniseResult(TaskResult):
    """Faces that were embedded; the state has the embeddings. ``missing`` says what has to be made again first."""

    missing: str = ""


@dataclass(frozen=True, slots=True)
class PlanPayload(JobPayload):
    """Job to be planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult(TaskResult):
    """Chunks of a job's output, and which of them are ``done``; without a plan, what is ``missing`` for it."""

    chunks: tuple[Span, ...] = ()
    done: tuple[int, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class SoundPayload(JobPayload):
    """Job whose audio is to be prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundResult(TaskResult):
    """Audio that was prepared, to be ``copied`` or encoded; ``sound`` is its key, empty where it is the row's own."""

    copied: bool
    sound: str = ""


@dataclass(frozen=True, slots=True)
class SeparatePayload(JobPayload):
    """Job whose video's own audio is to be kept, without its voices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparateResult(TaskResult):
    """Background that was separated; the state has it."""


@dataclass(frozen=True, slots=True)
class TranscribePayload(JobPayload):
    """Job whose language is to be recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeResult(TaskResult):
    """Language that is spoken; None where nothing is said."""

    language: str | None


@dataclass(frozen=True, slots=True)
class RenderPayload(JobPayload):
    """Chunk of the output to be rendered; ``original`` frames are left as they are."""

    chunk: Count
    original: Annotated[bool, OR_NOTHING] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderResult(TaskResult):
    """Frames of a rendered chunk; busy ``seconds``, and those of its ``stages``; its ``segment``."""

    frames: int
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict[str, float])
    segment: RenderedSegment | None = None


@dataclass(frozen=True, slots=True)
class ScorePayload(JobPayload):
    """Rendered chunk to be scored; ``segments`` are those of it and the next one, as far as this run rendered them."""

    chunk: Count
    segments: Annotated[tuple[RenderedSegment, ...], OR_NOTHING] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult(TaskResult):
    """Score of a chunk, which the state has; ``missing`` are chunks that have to be rendered again first."""

    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WeighPayload(JobPayload):
    """Rendered job to be measured; ``unscored`` are chunks whose scoring was given up."""

    unscored: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighResult(TaskResult):
    """Measures of a rendered video, as the gate judges it; or what has to be made again."""

    measures: VideoMeasures | None = None
    repairs: Repairs = NO_REPAIRS


@dataclass(frozen=True, slots=True)
class AssemblePayload(JobPayload):
    """Rendered job to be published.

    Attributes:
        unscored: Chunks whose scoring was given up.
        language: The language that was recognised, where the row asks for that.
        sound: Key of the prepared audio; empty where it is the row's own.
        history: Attempts at the row, for its record.
    """

    unscored: tuple[Count, ...] = ()
    language: Maybe[str] = None
    sound: _AudioKey = ""
    history: Attempts = NO_ATTEMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleResult(TaskResult):
    """Result of a published job; or what has to be made again."""

    published: DubResult | None = None
    repairs: Repairs = NO_REPAIRS


@dataclass(frozen=True, slots=True)
class SettlePayload(RowPayload):
    """Row whose best attempt, the job ``best_id``, is published already; its last attempt may be no job at all."""

    history: Attempts
    best_id: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleResult(TaskResult):
    """Result of the published attempt."""

    published: DubResult


# One row a kind: name, lane, order, payload, result, and what else holds for it.
SPEAK = TaskKind("speak", "cpu", 8, SpeakPayload, SpeakResult)
PROBE = TaskKind("probe", "cpu", 7, ProbePayload, ProbeResult)
RECHECK = TaskKind("recheck", "cpu", 7, RecheckPayload, RecheckResult)
CHECK = TaskKind("check", "gpu", 7, CheckPayload, CheckResult)
SCAN = TaskKind("scan", "gpu", 6, ScanPayload, ScanResult, counts_frames=True)
HEAR = TaskKind("hear", "cpu", 6, HearPayload, HearResult)
LISTEN = TaskKind("listen", "gpu", 5, ListenPayload, ListenResult, counts_frames=True)
RECOGNISE = TaskKind("recognise", "gpu", 5, RecognisePayload, RecogniseResult, counts_frames=True)
RENDER = TaskKind("render", "gpu", 2, RenderPayload, RenderResult, counts_frames=True)
PLAN = TaskKind("plan", "cpu", 4, PlanPayload, PlanResult, admits=RENDER)
SOUND = TaskKind("sound", "cpu", 3, SoundPayload, SoundResult)
SEPARATE = TaskKind("separate", "gpu", 3, SeparatePayload, SeparateResult)
TRANSCRIBE = TaskKind("transcribe", "gpu", 1, TranscribePayload, TranscribeResult, optional=True)
SCORE = TaskKind("score", "gpu", 1, ScorePayload, ScoreResult, counts_frames=True, optional=True)
WEIGH = TaskKind("weigh", "cpu", 0, WeighPayload, WeighResult)
ASSEMBLE = TaskKind("assemble", "cpu", 0, AssemblePayload, AssembleResult)
SETTLE = TaskKind("settle", "cpu", 0, SettlePayload, SettleResult)
EXAMINE = TaskKind("examine", "cpu", 7, ExaminePayload, ExamineResult)
MEASURE = TaskKind("measure", "gpu", 2, MeasurePayload, MeasureResult, counts_frames=True)
CONCLUDE = TaskKind("conclude", "cpu", 0, ConcludePayload, ConcludeResult)

KINDS: dict[str, AnyKind] = {kind.name: kind for kind in [*vars().values()] if isinstance(kind, TaskKind)}
"""All kinds, by their names: every row above."""

BESIDE_RENDERING: dict[AnyKind, Callable[[JobSpec], bool]] = {TRANSCRIBE: lambda job: job.language == AUTO}
"""Kinds of which a job has one task while its chunks are rendered, and the jobs that have it; their payloads are a
`JobPayload` and no more, and the job is scored and assembled after them."""
