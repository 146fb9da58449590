"""Findings of `inspect`, typed: the record that it prints, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class Unusable:
    """A part of a file that cannot be used, and why."""

    problem: str


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream of a file; what its container does not say is None. ``seconds`` is its length."""

    type: str
    codec: str | None
    seconds: float | None
    language: str | None


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """The frames of a file.

    Attributes:
        shown: The size as shown, such as ``1920x1080``.
        sizes: The sizes as coded.
        rotation: Degrees clockwise by which frames are turned to be shown.
        mirrored: They are mirrored too.
        field_order: ``progressive``, or which field is first.
        alpha: There is transparency.
        pixel_aspect: Width to height of a pixel, such as ``1``.
        pixel_format: FFmpeg's name of it.
        hdr: The dynamic range is high.
        still: It is a still image.
        rate: Frames a second, as a fraction; None where they vary.
        mean_rate: Frames a second.
        frames: Number of them.
        seconds: Seconds that they last.
        longest_key_gap: Frames from a key frame to the next, at most.
        starts_after_sound_s: Seconds; None where there is no audio.
        problem: Reason why they cannot be looked at further; None where they can.
    """

    shown: str
    sizes: tuple[str, ...]
    rotation: int
    mirrored: bool
    field_order: str
    alpha: bool
    pixel_aspect: str
    pixel_format: str
    hdr: bool
    still: bool
    rate: str | None
    mean_rate: float
    frames: int
    seconds: float
    longest_key_gap: int
    starts_after_sound_s: float | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """The audio of a file.

    Attributes:
        rate_hz: Samples a second.
        channels: Number of them.
        layout: FFmpeg's name of their layout.
        seconds: Seconds that it lasts.
        loudness_lufs: Integrated loudness by EBU R 128; None for silence.
        loudness_range_lu: Its range in LU; None where it is too short to tell.
        true_peak: The highest value between samples, 1 for full scale; None where it was not measured.
        heard_mix: Mix that the networks hear: its channels.
        heard_lufs: The loudness of that mix; None for silence.
        heard_gain_db: By how much it is made louder for them.
        holes: Missing pieces.
        hole_s: Seconds that they last.
        changes: Number of times that its rate or channels change.
        speech_by: The voice activity detector that told speech from pauses, or ``level``.
        speech_share: Fraction of the time with speech.
        speech_begins_s: Seconds; None where nobody speaks.
        pauses: Between speech.
        watermark_share: Share of the time with a mark that is not heard; None where nobody looked for one.
        watermark_message: Its message; None where less than half has one.
    """

    rate_hz: int
    channels: int
    layout: str
    seconds: float
    loudness_lufs: float | None
    loudness_range_lu: float | None
    true_peak: float | None
    heard_mix: str
    heard_lufs: float | None
    heard_gain_db: float
    holes: int
    hole_s: float
    changes: int
    speech_by: str
    speech_share: float
    speech_begins_s: float | None
    pauses: int
    watermark_share: float | None = None
    watermark_message: int | None = None


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """Text that is said from one time to another, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class SpeechFacts:
    """Transcript of a file's audio, and its language.

    Attributes:
        language: Two letters of ISO 639-1; None where nothing was said.
        by_sound: Language that the recogniser took it for.
        by_text: Language that the words look like; None for too few.
        text: The words.
        segments: The same with their times.
    """

    language: str | None
    by_sound: str | None
    by_text: str | None
    text: str
    segments: tuple[SpokenSegment, ...]


@dataclass(frozen=True, slots=True)
class FaceFacts:
    """A face of a video.

    Attributes:
        face: Its number.
        from_s: Time at which it is first seen, in seconds.
        to_s: Time at which it is last seen, in seconds.
        box: Its median box in pixels as shown: left, top, right, bottom.
    """

    face: int
    from_s: float
    to_s: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """A person of a video.

    Attributes:
        person: The number by which ``index:N`` names them, counted from the left; None for who is hardly there.
        shot: In which shot the number holds; None where people are followed over cuts, and it holds throughout.
        from_s: When they are first seen, in seconds.
        to_s: When they are last seen.
        seconds: How long their face is on the screen.
        share_of_frames: Fraction of the video's frames with their face.
        confidence: That it is a face, in [0, 1].
        box: Its median box in pixels as shown: left, top, right, bottom.
        faces: Numbers of their faces.
    """

    person: int | None
    shot: int | None
    from_s: float
    to_s: float
    seconds: float
    share_of_frames: float
    confidence: float
    box: tuple[int, int, int, int]
    faces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FacesFacts:
    """The faces of a video.

    Attributes:
        shots: Number of them.
        share_of_frames: Fraction of the frames with a face.
        most_in_a_shot: The most people in one shot.
        median_side_px: Of the shorter sides of faces; None where there is none.
        smallest_side_px: The same.
        median_yaw_deg: By how much faces are turned to a side.
        longest: Those that are seen for longest.
        people: Who they are, from left to right.
        doubtful_frames: Frames with something that is hardly a face; no rule chooses it.
    """

    shots: int
    share_of_frames: float
    most_in_a_shot: int
    median_side_px: float | None
    smallest_side_px: float | None
    median_yaw_deg: float | None
    longest: tuple[FaceFacts, ...]
    people: tuple[PersonFacts, ...]
    doubtful_frames: int


@dataclass(frozen=True, slots=True)
class SyncFacts:
    """Sync of lips and audio.

    Attributes:
        offset: Frames of 1/25 s by which the lips are off.
        windows: Number of places that were measured.
        lse_d: Distance by SyncNet; None where another network measured.
        lse_c: Confidence by SyncNet.
        sync_distance: Distance by another network than SyncNet; None by it.
        sync_confidence: Confidence by such.
        judge: The network's name.
        judge_sha256: Of its file.
        note: Caution about the figures: what they are not.
    """

    offset: int
    windows: int
    lse_d: float | None = None
    lse_c: float | None = None
    sync_distance: float | None = None
    sync_confidence: float | None = None
    judge: str | None = None
    judge_sha256: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class InspectionFacts:
    """Facts about a file. Parts are None where the file has none, or where nobody asked.

    Attributes:
        file: Its path.
        streams: Facts that its container states of its streams.
        picture: Its frames.
        sound: Its audio.
        speech: Transcript, where a speech model was named.
        faces: Its faces.
        sync: Sync of lips and audio.
        face_jpegs: An image (JPEG) of each person, and of each face that is seen for longest, by its name.
        record: All but these as JSON values, as ``lipwise-ray inspect --json`` prints them.
    """

    file: Path
    streams: tuple[StreamFacts, ...]
    picture: FrameFacts | Unusable | None
    sound: AudioFacts | Unusable | None
    speech: SpeechFacts | None
    faces: FacesFacts | None
    sync: SyncFacts | Unusable | None
    face_jpegs: dict[str, bytes]
    record: Json


_FACTS = TypeAdapter(InspectionFacts)
_PARTS = ("picture", "sound", "speech", "faces", "sync")


def facts_of(record: Json, face_jpegs: dict[str, bytes]) -> InspectionFacts:
    """Type a record of `inspection.inspect`; the images of faces go beside it."""
    absent = dict.fromkeys(_PARTS)
    return _FACTS.validate_python({**absent, **record, "face_jpegs": face_jpegs, "record": record})
