"""Records of runs and nights: what asked for them, what they set out to do, and what they came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from lipwise_ray.state.shapes import STRICT, Count, Figure, Maybe, NonNegative
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Request for a run: all that is needed to ask for it again, and no secret.

    Attributes:
        verb: The command.
        files: The manifest; or the videos that are evaluated; or the video, the audio and the output of `dub`.
        references: What these are compared with.
        job: The settings file.
        assignments: Single settings.
        preset, out, address, workers, fail_above, as_json, verify, shard: The options of these names.
        text, voice, language, start_s, end_s: Of `dub`.
        sent_to: The dashboard that it was sent to, as whoever sent it knew it; its files are then on that machine.
        is_cut: Its words held secrets, which a record does not keep; None where an earlier version did not say.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    verb: Literal["submit", "evaluate", "dub"]
    files: Annotated[list[str], Field(min_length=1)]
    references: list[str] = field(default_factory=list[str])
    job: str | None = None
    assignments: list[str] = field(default_factory=list[str])
    preset: str | None = None
    out: str | None = None
    address: str | None = None
    workers: Annotated[int, Field(ge=0, le=4096)] | None = None
    fail_above: Annotated[float, Field(ge=0, le=1)] = 0.0
    as_json: bool = False
    verify: bool = False
    shard: str | None = None
    text: str | None = None
    voice: str | None = None
    language: str | None = None
    start_s: NonNegative = 0.0
    end_s: NonNegative | None = None
    sent_to: str | None = None
    is_cut: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Record of a run's start; earlier versions kept ``command`` in place of ``request``.

    Attributes:
        manifest: Name of the manifest, with ``manifest_sha256`` of its bytes.
        rows: Rows of its shard, where it has one.
        rows_total: Rows of its whole manifest, where it has a shard.
        out: Address of the outputs.
        settings: Settings of the run, of which a row may have its own.
        begun: Seconds since 1970.
        folder: The working directory, by which relative paths go.
        shard: Such as ``3/8``.
        notes: Notes to the user: terms of checkpoints, choices of ``auto``.
        fallbacks: Sentences on GPU workers that did on the CPU what their GPU was meant for.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    run_id: str
    manifest: str
    rows: Count
    out: str = ""
    settings: Maybe[Json] = None
    begun: NonNegative = 0.0
    request: Request | None = None
    command: Maybe[list[str]] = None
    folder: str = ""
    shard: Maybe[Annotated[str, Field(pattern=r"^\d{1,4}/\d{1,4}$")]] = None
    manifest_sha256: str = ""
    rows_total: Maybe[Count] = None
    notes: tuple[str, ...] = ()
    fallbacks: Maybe[tuple[str, ...]] = None


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row that a run set out to do."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row: Count
    row_id: str
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """Record of a run's end: its `report.json`.

    Attributes:
        done, failed, left: Rows; those left had not ended when the run did.
        seconds: From its start to its end.
        frames_rendered, chunks_rendered: Frames and chunks that it rendered.
        chunks_reused: Chunks that were there before.
        fallbacks: Sentences on GPU workers that did on the CPU what their GPU was meant for.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    done: Count = 0
    failed: Count = 0
    left: Count = 0
    seconds: NonNegative = 0.0
    frames_rendered: Count = 0
    chunks_rendered: Count = 0
    chunks_reused: Count = 0
    fallbacks: Maybe[tuple[str, ...]] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationEnd(RunEnd):
    """The same of an evaluation whose videos have references.

    Attributes:
        fid: The Fréchet inception distance over the faces of all rows.
        fid_pictures: How many faces there were.
    """

    fid: Figure | None = None
    fid_pictures: Count

    @staticmethod
    def of(end: RunEnd, fid: float | None, pictures: int) -> EvaluationEnd:
        """Return a run's end with the distance over its faces.

        Args:
            end: The run's end.
            fid: Fréchet inception distance over the faces of all rows; None where it could not be computed.
            pictures: Number of these faces.
        """
        return EvaluationEnd(**asdict(end), fid=fid, fid_pictures=pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class NightRun:
    """Outcome of a run of a night."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    manifest: str
    run_id: str
    done: Count
    failed: Count
    left: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class NightFigures:
    """Figures of a night that has ended.

    Attributes:
        ended: Seconds since 1970.
        exit_code: Of the command (`ExitCode`).
        done, failed, left: Rows.
        refused: Manifests that were refused as a whole.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    ended: NonNegative
    exit_code: Count
    done: Count = 0
    failed: Count = 0
    left: Count = 0
    refused: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogRecord:
    """Status of a manifest of the backlog.

    Attributes:
        name: Name of the manifest's file.
        tag: Changes with its contents.
        status: ``waiting``, ``left`` with rows to do by an earlier night (``begun`` in records of earlier versions),
            ``done``, or ``refused`` as a whole.
        message: Reason for which it waits or was refused.
        night, run_id: The latest night that worked on it, and its run.
        done, failed, left: Rows, after that run.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    tag: str
    status: Literal["waiting", "left", "begun", "done", "refused"]
    message: Maybe[str] = None
    night: Maybe[str] = None
    run_id: Maybe[str] = None
    done: Maybe[Count] = None
    failed: Maybe[Count] = None
    left: Maybe[Count] = None
