"""What the tasks of each kind are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lipwise_ray.pipeline.dubbing.task_parts import (
    NO_ATTEMPTS,
    OR_NOTHING,
    Attempts,
    JobPayload,
    NumberedSpan,
    ReferencePart,
    RowPayload,
)
from lipwise_ray.state.shapes import Count, Id, Maybe

_SoundKey = Annotated[str, Field(pattern=r"^(jobs/[A-Za-z0-9_-]+/sound/[a-z]+/[0-9a-f]{64}\.[a-z0-9]+)?$")]


@dataclass(frozen=True, slots=True)
class ProbePayload(RowPayload):
    """A row whose inputs are to be looked at."""


@dataclass(frozen=True, slots=True)
class CheckPayload(JobPayload):
    """A job whose encoder is to be opened."""


@dataclass(frozen=True, slots=True)
class ScanPayload(JobPayload):
    """Where faces are to be found."""

    piece: NumberedSpan


@dataclass(frozen=True, slots=True)
class ListenPayload(JobPayload):
    """Where lips are to be compared with the original audio."""

    piece: NumberedSpan


@dataclass(frozen=True, slots=True)
class RecognisePayload(JobPayload):
    """Whose faces are to be embedded: those in a chunk, or the one of a portrait (its address and identity)."""

    piece: NumberedSpan | None = None
    portrait: Maybe[tuple[str, Id]] = None

    def __post_init__(self) -> None:
        if (self.piece is None) == (self.portrait is None):
            raise ValueError("needs a chunk or a portrait, and not both")


@dataclass(frozen=True, slots=True)
class PlanPayload(JobPayload):
    """A job to be planned."""


@dataclass(frozen=True, slots=True)
class SoundPayload(JobPayload):
    """A job whose audio is to be prepared."""


@dataclass(frozen=True, slots=True)
class TranscribePayload(JobPayload):
    """A job whose language is to be heard."""


@dataclass(frozen=True, slots=True)
class RenderPayload(JobPayload):
    """A chunk of the output; ``original`` frames are left as they are."""

    chunk: Count
    original: Annotated[bool, OR_NOTHING] = False


@dataclass(frozen=True, slots=True)
class ScorePayload(JobPayload):
    """A rendered chunk."""

    chunk: Count


@dataclass(frozen=True, slots=True)
class WeighPayload(JobPayload):
    """A rendered job; ``unscored`` are chunks whose scoring was given up."""

    unscored: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True)
class AssemblePayload(JobPayload):
    """A rendered job to be published.

    Attributes:
        unscored: Chunks whose scoring was given up.
        language: What was heard, where the row asks for that.
        sound: The key of the audio that was prepared; empty where it is the row's own.
        history: What is to be kept of the row's attempts.
    """

    unscored: tuple[Count, ...] = ()
    language: Maybe[str] = None
    sound: _SoundKey = ""
    history: Attempts = NO_ATTEMPTS


@dataclass(frozen=True, slots=True)
class SettlePayload(RowPayload):
    """A row whose best attempt, the job ``best_id``, is published already; its last attempt may be no job at all."""

    history: Attempts
    best_id: Id


@dataclass(frozen=True, slots=True)
class ExaminePayload(RowPayload):
    """A finished video whose files are to be looked at."""

    comparison: ReferencePart


@dataclass(frozen=True, slots=True)
class MeasurePayload(JobPayload):
    """A chunk of a finished video."""

    piece: NumberedSpan
    comparison: ReferencePart


@dataclass(frozen=True, slots=True)
class ConcludePayload(JobPayload):
    """A finished video that was measured."""

    comparison: ReferencePart
