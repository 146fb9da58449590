"""Parts that the payloads of a row's tasks share. `pydantic.TypeAdapter` reads and writes them at borders.

A state may lie where others can write, and its dead letters hold it: numbers are bounded, and what becomes part of a
key leads nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import not_
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.roles.table import with_known_roles
from lipwise_ray.state.ids import Identity
from lipwise_ray.state.job_result import AttemptRecord
from lipwise_ray.state.shapes import STRICT, Count, Id, Maybe, Sha256
from lipwise_ray.values import Span

OR_NOTHING = Field(exclude_if=not_)
"""Field that records leave out where it is empty or false."""

_SHA256 = TypeAdapter[str](Sha256)


def _with_whole_hashes(checkpoints: Checkpoints) -> Checkpoints:
    """Refuse what is no sha256: copies of checkpoints are named after theirs."""
    for one in checkpoints:
        _SHA256.validate_python(one.sha256)
    return checkpoints


@dataclass(frozen=True, slots=True)
class RowPart:
    """Part of the payload that every task of a row gets.

    Attributes:
        job: Specification of the row's job.
        weights: Its checkpoints.
        device: Device on which render workers compute.
        choices: Ways to do the job that a worker can, the preferred first.
        known_choices: All that the settings allow.
        attempt: Number of this attempt at the row; None where there is one only.
        verify: Finished outputs are read, to see whether they are what was published.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    job: JobSpec
    weights: Annotated[Checkpoints, AfterValidator(with_known_roles), AfterValidator(_with_whole_hashes)]
    device: Annotated[str, Field(pattern="^(cpu|cuda)$")]
    choices: Annotated[tuple[Choice, ...], OR_NOTHING] = ()
    known_choices: Annotated[tuple[Choice, ...], OR_NOTHING] = ()
    attempt: Maybe[Count] = None
    verify: Annotated[bool, OR_NOTHING] = False


@dataclass(frozen=True, slots=True)
class Probed:
    """Findings of a row's probe that all its later tasks get.

    Attributes:
        job_id: Names the job.
        identity: Facts that decide its result.
        video_id: Names the video.
        detector_id: Id of all that decides which faces are found in it.
        voices_id: Id of all that decides who is found to speak; None where nobody asks.
        looks_id: Id of all that decides how faces are embedded; None where none is.
        portraits: Identities by address.
        choice: Way in which the job is done; None where nothing is encoded.
        has_begun: An earlier run has begun it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    job_id: Id
    identity: Identity
    video_id: Id
    detector_id: Id
    voices_id: Id | None = None
    looks_id: Id | None = None
    portraits: Mapping[str, Id] = field(default_factory=dict[str, Id])
    choice: Maybe[Choice] = None
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class NumberedSpan:
    """A chunk of a video's frames: its number, and ``[start, stop)``."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    chunk: Count
    start: Count
    stop: Count

    @property
    def span(self) -> Span:
        """Its frames."""
        return Span(self.start, self.stop)

    @property
    def frames(self) -> int:
        """Number of its frames."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class RenderedSegment:
    """Segment of a chunk that was rendered in this run: what its marker says, which nobody then has to read.

    Attributes:
        chunk: Number of the chunk.
        attempt: Name of the attempt at it.
        sha256: Hash of the segment.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    chunk: Count
    attempt: Id
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class ReferencePart:
    """Reference that an evaluated video is compared with.

    Attributes:
        reference: Its address; None for nothing.
        absent: Reasons, by figure, why it cannot be told, for want of checkpoints.
        start_s: Where the part of it begins that the video shows.
        lag_s: By so much the video comes later than that part.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    reference: str | None = None
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    start_s: float = 0.0
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempts:
    """Records to be kept of the attempts at a row.

    Attributes:
        attempts: Their records, in order; none where there was one only.
        first_id: The job of the row's own settings, under which a later run looks.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    attempts: Annotated[tuple[AttemptRecord, ...], OR_NOTHING] = ()
    first_id: Maybe[Id] = None


NO_ATTEMPTS = Attempts()
"""Of a row that has one only."""


@dataclass(frozen=True, slots=True)
class RowPayload:
    """A row: what all tasks have in common."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row: RowPart

    @property
    def choice(self) -> Choice | None:
        """Way in which its job is done; None before that is known, and where nothing is encoded."""
        return None

    @property
    def spec(self) -> JobSpec:
        """Specification of the row's job, with the codec that was chosen."""
        job, choice = self.row.job, self.choice
        return job if choice is None else replace(job, settings=choice.settings(job.settings))


@dataclass(frozen=True, slots=True)
class JobPayload(RowPayload):
    """A job: what the tasks after a row's probe have in common."""

    probed: Probed

    @property
    def choice(self) -> Choice | None:
        """Way in which it is done; None where nothing is encoded."""
        return self.probed.choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """Chunks that have to be rendered, or scored, again before anything is made of a job."""

    render: tuple[int, ...] = ()
    score: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.render or self.score)


NO_REPAIRS = Repairs()
