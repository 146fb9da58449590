"""The table of a prepared data set: a line for each face of each video, and why it was taken or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from lipwise_ray.errors import InputError
from lipwise_ray.reports.tables import as_csv
from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.files import replace_text
from lipwise_ray.training.footage import Clip
from lipwise_ray.training.prepare import SortedFace

TABLE, SKIPPED, DATA_NOTE = "clips.csv", "skipped.csv", "curation.json"


@dataclass(frozen=True, slots=True)
class ClipLine:
    """A line of ``clips.csv``; cells of what was not measured are empty.

    Attributes:
        clip: Name of the clip, as the lists have it. Further faces of a video end in ``+face2`` and so on.
        list: The list that it belongs to: ``train``, ``val`` or ``test``.
        source: The video.
        kept: ``yes`` where it is taken.
        code: Word for the reason why it is not, for programs.
        reason: The same in words.
        track: Number of the face in the video.
        from_s: Time in seconds at which the face appears.
        to_s: Time in seconds at which it is gone.
        frames: Frames of 1/25 s in which it is there.
        size_px: Median of its shorter side, in pixels of the video.
        yaw_deg: Angle to a side, in degrees, that a tenth of its frames exceed.
        score: Mean confidence of the detector, less where its points are not those of a face, from 0 to 1.
        sharpness: Fine detail of the face, in levels of 255.
        speech_share: Part of its time in which somebody speaks, from 0 to 1.
        mouth_change: How little its mouths are like each other, from 0 to 1; 0 for a photograph.
        offset_frames: Delay of the audio behind the lips in frames of 1/25 s, by the expert; below 0 it is early.
        distance: Mean distance of lips and audio at that offset, in the expert's units.
        confidence: Median of the mean distances at all offsets, less that one.
        shift_frames: Frames of 1/25 s by which the clip's audio was moved earlier.
    """

    clip: str
    list: str
    source: str
    kept: str
    code: str = ""
    reason: str = ""
    track: int | None = None
    from_s: float | None = None
    to_s: float | None = None
    frames: int | None = None
    size_px: float | None = None
    yaw_deg: float | None = None
    score: float | None = None
    sharpness: float | None = None
    speech_share: float | None = None
    mouth_change: float | None = None
    offset_frames: int | None = None
    distance: float | None = None
    confidence: float | None = None
    shift_frames: int | None = None


@dataclass(frozen=True, slots=True, config=ConfigDict(arbitrary_types_allowed=True))
class DataSetNote:
    """Note beside a data set, ``curation.json``: all that decided which faces are in it.

    Attributes:
        schema: Name and number of the layout.
        detectors: SHA-256 of the detector's weights.
        expert: Name of the expert, or None.
        expert_sha256: SHA-256 of its weights.
        speech_sha256: SHA-256 of the weights that tell speech from pauses; None went by the audio's level.
        truth: Boxes came from the truth of drawn clips.
        size_px: Side of the crops that was asked for.
        pads: Pixels around the face's box: top, bottom, left, right.
        pads_share: The same as shares of its height and width.
        most_faces: Faces of a video that were measured at most.
        rules: Rules of the sorting.
    """

    schema: Literal["lipwise.curation/1"]
    detectors: tuple[str, ...]
    expert: str | None
    expert_sha256: str | None
    speech_sha256: str | None
    truth: bool
    size_px: int
    pads: tuple[int, int, int, int]
    pads_share: tuple[float, float, float, float]
    most_faces: int
    rules: CurationRules


def lines_of(clip: Clip, result: tuple[SortedFace, ...] | InputError) -> Iterator[ClipLine]:
    """Yield the lines of a video.

    Args:
        clip: The video.
        result: Its faces, or what is wrong with it.
    """
    where = (clip.list_name, str(clip.path))
    if isinstance(result, InputError):
        yield ClipLine(clip.name, *where, "no", result.code, str(result))
        return
    for one in result:
        kept, code, reason = ("no", one.refused.code, str(one.refused)) if one.refused else ("yes", "", "")
        sync = one.sync
        yield ClipLine(
            one.clip,
            *where,
            kept,
            code,
            reason,
            **asdict(one.face),
            offset_frames=sync.offset_frames if sync else None,
            distance=sync.distance if sync else None,
            confidence=sync.confidence if sync else None,
            shift_frames=one.shift_frames if one.refused is None else None,
        )


def write_table(
    out: Path, results: Sequence[tuple[Clip, tuple[SortedFace, ...] | InputError]], note: DataSetNote
) -> Path:
    """Write a data set's table, its short form with the refused alone, and its note; return the table's path.

    Args:
        out: The data set.
        results: Its videos in order, each with its faces or with what is wrong with it.
        note: All that sorted them.

    Raises:
        StorageError: The disk is full.
    """
    lines = [line for clip, result in results for line in lines_of(clip, result)]
    names = [field.name for field in fields(ClipLine)]
    replace_text(out / TABLE, as_csv([asdict(line) for line in lines], names).decode("utf-8-sig"))
    refused = sorted(
        ({"clip": one.clip, "code": one.code, "reason": one.reason} for one in lines if one.kept == "no"),
        key=lambda row: tuple(row.values()),
    )
    replace_text(out / SKIPPED, as_csv(refused, ("clip", "code", "reason")).decode("utf-8-sig"))
    replace_text(out / DATA_NOTE, TypeAdapter(DataSetNote).dump_json(note, indent=1).decode() + "\n")
    return out / TABLE
