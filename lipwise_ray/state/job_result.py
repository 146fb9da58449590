"""Result of a job: `result.json`, and the part of it in a row's record of a run. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

from lipwise_ray.state.credentials_record import CredentialsRecord
from lipwise_ray.state.delivered_records import HeardRecord, LabelRecord, LeftBehindRecord, WatermarkRecord
from lipwise_ray.state.face_records import FlickerMeans, OcclusionMeans, SharpnessMeans
from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.mixed_record import MixedRecord
from lipwise_ray.state.shapes import STRICT, Count, Figure, Maybe, NonNegative, Sha256
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.state.speech_record import SpokenBy
from lipwise_ray.values import Json

Verdict: TypeAlias = str
"""One of `state.attempts`; records of later versions may know others."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A published file as it was when it was last known to be whole.

    ``tag`` changes with the contents: a time stamp of a file, what the store says of an object.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    size: Count
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """A checkpoint that a job used: see `models.checkpoints.Checkpoint`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    sha256: str
    network: Maybe[str] = None
    path: Maybe[str] = None
    licence: Maybe[str] = None
    commercial: Maybe[Any] = None
    reason: Maybe[str] = None
    made_for: Maybe[str] = None


CheckpointsByRole: TypeAlias = dict[str, CheckpointRecord | list[CheckpointRecord] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScore:
    """Sync of the lips and the audio of a video.

    Attributes:
        lse_d, lse_c: Distance and certainty, where SyncNet gave them.
        sync_distance, sync_confidence: The same of another network.
        offset: By how many frames of 1/25 s the lips come later than the audio.
        windows: Number of windows compared.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    lse_d: Maybe[Figure] = None
    lse_c: Maybe[Figure] = None
    sync_distance: Maybe[Figure] = None
    sync_confidence: Maybe[Figure] = None
    offset: Maybe[Annotated[int, Field(ge=-1000, le=1000)]] = None
    windows: Maybe[Count] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBy:
    """The network that scored a video, by name and hash, and a ``note`` on what its figures are not."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    judge: str | None = None
    judge_sha256: str | None = None
    note: Maybe[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScores(ScoredBy):
    """A video's sync scores.

    Attributes:
        source: Of the original lips and the original audio.
        before: Of the original lips and the audio of the output.
        after: Of the dubbed lips and the audio of the output.
        why: The reason for each score that is None.
        curve: The certainty of ``after``, a value a second.
        stride: Of the windows that begin at each frame of 1/25 s every so many was compared; nothing is said where all
            were.
    """

    source: SyncScore | None = None
    before: SyncScore | None = None
    after: SyncScore | None = None
    why: dict[str, str] = field(default_factory=dict[str, str])
    curve: tuple[Figure | None, ...] = ()
    stride: Maybe[Annotated[int, Field(ge=1, le=25)]] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers of frames, and of faces that were left as they are: see `pipeline.dubbing.plan.Plan`.

    Attributes:
        frames: Frames of the output.
        frames_with_face, frames_without_face: Those with and without a face to dub.
        source_frames_used: Frames of the source between the row's start and end.
        source_frames_without_face: Those of them without a face to dub.
        source_frames_skipped: Those of them that were left out, as they show no face (`faces.on_no_face`).
        frames_in_pauses: Frames of the output that keep the original lips, as nobody speaks.
        own_sound_used: 1 where the source's own audio was used to find its pauses, else 0.
        faces_too_small, faces_turned_away: Faces in the source frames of the output that were left as they were.
        faces_doubtful: Those of them that are hardly faces.
        frames_seen: Frames of the output in which the person to dub is seen, or may be; of several speakers that one
            counts whose largest share is left as it was, and under ``all`` each face does.
        frames_undubbed: Those of `frames_seen` in which that person is left as he was.
        frames_fitted: Source frames whose size, format or colours were not the video's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    frames: Maybe[Count] = None
    frames_with_face: Maybe[Count] = None
    frames_without_face: Maybe[Count] = None
    source_frames_used: Maybe[Count] = None
    source_frames_without_face: Maybe[Count] = None
    source_frames_skipped: Maybe[Count] = None
    frames_in_pauses: Maybe[Count] = None
    own_sound_used: Maybe[Count] = None
    faces_too_small: Maybe[Count] = None
    faces_turned_away: Maybe[Count] = None
    faces_doubtful: Maybe[Count] = None
    frames_seen: Maybe[Count] = None
    frames_undubbed: Maybe[Count] = None
    frames_fitted: Maybe[Count] = None

    @property
    def undubbed_share(self) -> float | None:
        """Share of the frames in which the person is seen that were left as they were; None where nobody counted."""
        if self.frames_undubbed is None:
            return None
        seen = self.frames_seen
        if seen is None:  # results of earlier versions have none
            seen = self.frames_undubbed + (self.frames_with_face or 0)
        return self.frames_undubbed / max(1, seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Likeness of a video to its reference.

    Attributes:
        reference: The reference's address.
        pictures, faces: Numbers of frames and of faces compared.
        after_its_end: Frames beside which the reference has none: after its end, or before its start.
        psnr, face_psnr: Of the luma of whole frames and of faces, in dB.
        ssim, face_ssim: The same, up to 1 for equal images.
        fid: Fréchet inception distance of the faces.
        identity_distance: Mean cosine distance of the faces' embeddings, 0 for the same face.
        mouth_distance: Mean distance of the lips' edges, in hundredths of the distance of the eyes.
        fitted: How the video was brought to the reference's size; absent where it has that.
        lag_s: By so much the video was found to come later than the reference, less than 0 for earlier.
        compared_s: Length of the part that both have.
        reference_s: Length of the reference, from the row's `reference_start` on.
        why: The reason for each figure that is None.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    reference: str = ""
    pictures: Count = 0
    faces: Count = 0
    after_its_end: Count = 0
    psnr: Figure | None = None
    ssim: Figure | None = None
    face_psnr: Figure | None = None
    face_ssim: Figure | None = None
    fid: Figure | None = None
    identity_distance: Figure | None = None
    mouth_distance: Maybe[Figure] = None
    fitted: Maybe[str] = None
    lag_s: Maybe[Figure] = None
    compared_s: Maybe[NonNegative] = None
    reference_s: Maybe[NonNegative] = None
    why: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFigures:
    """Figures that a video is judged by, and its cost; None where one was not measured.

    Attributes:
        judge: SHA-256 of the network that scored it.
        not_lse: Its scores are no LSE: another network's, or with a note that says so. The gate leaves them out.
        lse_c: Certainty of SyncNet.
        offset: Frames of 1/25 s by which the lips come later than the audio.
        no_face_share: Fraction of frames without a face to dub.
        flicker: Mean flicker beyond that of the original faces, in levels of 255.
        sharpness: Of the dubbed mouths, 1 for as sharp as the original ones.
        length_error_s: Difference between the lengths of video and audio.
        render_s: Busy seconds of rendering.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    judge: str | None = None
    not_lse: bool = False
    lse_c: Figure | None = None
    offset: int | None = None
    no_face_share: Figure | None = None
    undubbed_share: Maybe[Figure] = None
    flicker: Figure | None = None
    sharpness: Maybe[Figure] = None
    length_error_s: Figure | None = None
    render_s: NonNegative | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Verdict of the gate on a video, of `state.attempts`, and the reasons of one that is to be checked."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAttempt(GateFigures):
    """An attempt at a row that has a video."""

    settings: Json
    verdict: Verdict
    job_id: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """An attempt at a row that has none; without ``job_id`` it could not be started."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    settings: Json
    verdict: Literal["failed"] = "failed"
    job_id: Maybe[str] = None
    code: str = ""
    message: str = ""


AttemptRecord: TypeAlias = Annotated[FailedAttempt | MeasuredAttempt, Field(union_mode="left_to_right")]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoMeasures:
    """Measures of a rendered video, published or not: all that the gate goes by.

    Attributes:
        video_s: Length of the video.
        audio_s: Length of its audio; None where it has none.
        render_s: Busy seconds of rendering, of all chunks.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    counts: Maybe[Counts] = None
    sync: Maybe[SyncScores] = None
    flicker: Maybe[FlickerMeans] = None
    sharpness: Maybe[SharpnessMeans] = None
    video_s: Maybe[NonNegative] = None
    audio_s: NonNegative | None = None
    render_s: Maybe[NonNegative] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done(VideoMeasures):
    """Fields that a dubbed video's result and an evaluated one's share.

    Attributes:
        reused: An earlier run made it. Of a row's record alone, as ``gate``.
    """

    status: Literal["done"] = "done"
    job_id: str
    output: str
    frames: Count
    chunks: Count
    row_id: Maybe[str] = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    weights: CheckpointsByRole = field(default_factory=dict[str, CheckpointRecord | list[CheckpointRecord] | None])
    identity: Maybe[Json] = None
    protocol: Maybe[str] = None
    version: Maybe[str] = None
    pipeline: Maybe[int] = None
    reused: Maybe[bool] = None
    gate: Maybe[GateVerdict] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DubResult(_Done):
    """Result of a dubbed and published job.

    Attributes:
        scanned: The part of the source whose faces were looked for; empty for all of it.
        original_chunks: Chunks in quarantine, which show their original frames.
        stages_s: Busy seconds by stage.
        seen: The published file; None where its store tells nothing of it.
        speaking: How surely it was found who speaks, where an active speaker network was asked.
        occluded: What was in front of faces; absent where nobody looked.
        fitted: What was made longer or shorter (`timing.length`); absent where nothing was to be.
        mask_by: The network whose landmarks masks follow, or ``five points``; absent where they follow no face.
        label: The sign in its frames; absent where there is none.
        sound: How the audio is delivered: ``copied``, or its codec.
        heard: How each speaker's audio was heard.
        mixed: What was mixed under the voice, and how loud all of it became; absent where it is the voice alone.
        mixed: Background and loudness of the delivered audio; absent where it is the voice as it is.
        watermark: The mark in its new audio that is not heard; absent where there is none.
        speech_by: The voice activity detector that told speech from pauses, or ``level``; absent where nobody asked.
        people_by: The embedder that told people apart, or ``place``; absent where faces are at boxes that were given.
        attempts: At the row, where there was more than one.
        further_languages: Those of further soundtracks, in order; absent where there are none.
        spoken_by: The engines and voices that spoke the row's texts, and their terms; absent where it had audio.
        c2pa: Content credentials of the file; absent where nothing was to be signed (`marking.c2pa`).
    """

    bytes_total: Count
    sha256: Sha256
    synthetic: Maybe[str] = None
    scanned: Maybe[str] = None
    original_chunks: Maybe[tuple[Count, ...]] = None
    stages_s: Maybe[dict[str, NonNegative]] = None
    seen: Seen | None = None
    left_behind: Maybe[tuple[LeftBehindRecord, ...]] = None
    notes: Maybe[tuple[str, ...]] = None
    speaking: Maybe[SpeakingRecord] = None
    occluded: Maybe[OcclusionMeans] = None
    fitted: Maybe[FittedRecord] = None
    mask_by: Maybe[str] = None
    label: Maybe[LabelRecord] = None
    encoder: Maybe[str] = None
    sound: Maybe[str] = None
    heard: Maybe[tuple[HeardRecord, ...]] = None
    mixed: Maybe[MixedRecord] = None
    watermark: Maybe[WatermarkRecord] = None
    speech_by: Maybe[str] = None
    people_by: Maybe[str] = None
    assemble_s: Maybe[NonNegative] = None
    attempts: Maybe[tuple[AttemptRecord, ...]] = None
    further_languages: Maybe[tuple[str, ...]] = None
    spoken_by: Maybe[tuple[SpokenBy, ...]] = None
    c2pa: Maybe[CredentialsRecord] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult(_Done):
    """Result of an evaluated video; ``fidelity`` is None without a reference."""

    kind: Literal["evaluation"]
    fidelity: Fidelity | None = None


JobResult: TypeAlias = DubResult | EvaluationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFailure:
    """Failure of a row.

    Attributes:
        code: A stable word for machines.
        message: For people.
        stage: Kind of the task that failed; ``validate`` where the row could not be started.
        task: Its id; None where none was started.
        blame: Party at fault (`scheduler.task.Blame`).
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    code: str = ""
    message: str = ""
    status: Literal["failed"] = "failed"
    stage: Maybe[str] = None
    task: Maybe[str] = None
    blame: Maybe[str] = None
