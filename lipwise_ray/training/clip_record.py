"""Records of preparing footage: what was measured of its faces, and what a clip was cut from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lipwise_ray.training.files import replace_text

_STRICT = ConfigDict(allow_inf_nan=False, extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class FaceMeasures:
    """Measures of a face that is followed through a video, in frames of 1/25 s.

    Attributes:
        track: Number of its track in the video.
        from_s: Time at which it appears.
        to_s: Time at which it is gone.
        frames: Frames in which it is there.
        size_px: Median of its shorter side, in pixels of the shown video.
        yaw_deg: Angle to a side that a tenth of its frames exceed.
        score: Mean confidence of the detector, less where its points are not those of a face, in [0, 1].
        sharpness: Fine detail, in levels of 255.
        speech_share: Part of its time in which somebody speaks, in [0, 1].
        mouth_change: How little its mouths are like each other, in [0, 1].
    """

    track: int
    from_s: float
    to_s: float
    frames: int
    size_px: float
    yaw_deg: float
    score: float
    sharpness: float
    speech_share: float
    mouth_change: float


@dataclass(frozen=True, slots=True, config=_STRICT)
class SyncMeasures:
    """Agreement of a face's lips with the audio, as an expert measures it.

    Attributes:
        offset_frames: Delay of the audio behind the lips in frames of 1/25 s; negative where it comes early.
        distance: Mean distance of lips and audio at that offset, in the expert's own units.
        confidence: Median of the mean distances at all offsets, less that one.
        is_steady: Both halves of the clip have that offset, or the next.
    """

    offset_frames: int
    distance: float
    confidence: float
    is_steady: bool


@dataclass(frozen=True, slots=True, config=_STRICT)
class FacesKey:
    """Identity of a search for faces, by contents: the same key finds the same tracks.

    Attributes:
        source_sha256: Of the video.
        detectors: SHA-256 of the detector's weights; empty where boxes come from the truth of drawn clips.
        settings: Digest of the settings by which faces are looked for and followed.
    """

    source_sha256: str
    detectors: tuple[str, ...]
    settings: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class MeasuredSource:
    """Record of a video whose faces were found and measured.

    Attributes:
        schema: Name and number of the layout.
        found: Identity of the search.
        speech_by: Detector of speech, by its contents.
        most_faces: Faces that were measured at most: those with the most pixels.
        faces: Measures of these, largest first.
        sync: Their agreement with the audio, in the same order, by the SHA-256 of the expert.
    """

    schema: Literal["lipwise.curation/1"]
    found: FacesKey
    speech_by: str
    most_faces: int
    faces: tuple[FaceMeasures, ...]
    sync: dict[str, tuple[SyncMeasures | None, ...]]


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClipOrigin:
    """All that decides the files of a prepared clip.

    Attributes:
        source_sha256: Of the video; training runs know their footage by it.
        found: Identity of the search that found the face.
        track: Number of the face.
        size_px: Side of the crops that was asked for; 0 for the face's own.
        pads: Pixels around the face's box: top, bottom, left, right.
        pads_share: The same as shares of its height and width.
        shift_frames: Frames of 1/25 s by which the audio was moved earlier.
    """

    source_sha256: str
    found: FacesKey
    track: int
    size_px: int
    pads: tuple[int, int, int, int]
    pads_share: tuple[float, float, float, float]
    shift_frames: int


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClipNote:
    """Note beside a prepared clip, `clip.json`.

    Attributes:
        frames: Crops in the folder.
        source: Name of the video.
        asked: All that decides the files.
    """

    frames: int
    source: str
    asked: ClipOrigin


_Record = TypeVar("_Record", MeasuredSource, ClipNote, FacesKey)


def read_record(path: Path, kind: type[_Record]) -> _Record | None:
    """Return a record; None where there is none, or one of an earlier layout, or a damaged one."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(path: Path, record: _Record) -> None:
    """Write a record, whole or not at all.

    Raises:
        StorageError: The disk is full.
        OutputError: The folder cannot be written.
    """
    replace_text(path, TypeAdapter(type(record)).dump_json(record, indent=1).decode() + "\n")
