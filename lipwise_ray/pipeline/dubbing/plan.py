"""The plan of a job: which source frame, which sound and which faces stand behind every output frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.lipsync.time_map import TimeMap
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.plan_record import CHOSEN, read_plan_arrays
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.job_result import Counts
from lipwise_ray.state.plan_record import PartRecord, PlanRecord
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.values import BoolArray, F32Array, I64Array, Span

_AUTO_CHUNKS, _SHORTEST_CHUNK_S, _LONGEST_CHUNK_S = 120, 10.0, 60.0
"""Chunks of a long video, and their bounds: short ones are all overhead, a long one costs a lost worker much."""

Times = tuple[tuple[Fraction, Fraction], ...]
"""``[start, end)`` in seconds, in order."""


@dataclass(frozen=True, slots=True)
class DialogueFacts:
    """Facts about all that one face says.

    Attributes:
        rule: Rule that chooses the face, for messages.
        tracks: The numbers of its tracks.
        sound_id: The record of what it says, on the delivered sound's clock.
        voiced: Mask of the columns of its mel that hold speech, shape (columns,); None where pauses are nothing
            special.
        times_s: ``[start, end)`` of each thing said; empty where that is everything.
        is_sought: The face was looked for by what is said, and may be nobody's.
        kind: Kind of the rule.
    """

    rule: str
    tracks: tuple[int, ...]
    sound_id: str
    voiced: BoolArray | None = None
    times_s: Times = ()
    is_sought: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a job's inputs.

    Attributes:
        index: Frames of the source.
        is_still: The source is a still image.
        lead_s: Seconds by which the first frame is shown later than the source's own audio.
        audio_s: Exact duration of the delivered sound.
        mel_columns: Columns of its mel.
        parts: Dialogue of each face, at least one.
        start_s: First second of the source that is used.
        end_s: Second at which use of the source ends, None for its end.
        own_voiced: Mask of the columns of the source's own mel that hold speech; it begins with that sound, or with a
            picture that starts earlier. None where there is none that can be used.
        cuts: Source frames with which a shot begins, where they are known, shape (C,).
        time_map: Times of the output by those of the used video, where that is stretched under some clips.
        window: Part of the output that is made; None for all.
        people: Number of people among whom the rules choose, in the shot that has most.
    """

    index: FrameIndex
    is_still: bool
    lead_s: Fraction
    audio_s: Fraction
    mel_columns: int
    parts: tuple[DialogueFacts, ...]
    start_s: float
    end_s: float | None
    own_voiced: BoolArray | None = None
    cuts: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    time_map: TimeMap | None = None
    window: OutputWindow | None = None
    people: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """All that one face says.

    Attributes:
        tracks: The face's.
        sound_id: The record of it, on the delivered sound's clock.
        opacity: Of the new lips in each output frame, shape (N,), in [0, 1]: 0 shows the original ones.
        pauses: ``[start, stop)`` of mel columns that are silent for the network, shape (P, 2).
        times_s: ``[start, end)`` of each thing said; empty where that is everything.
    """

    tracks: tuple[int, ...]
    sound_id: str
    opacity: F32Array
    pauses: I64Array
    times_s: Times = ()


@dataclass(frozen=True, slots=True)
class PlannedFace:
    """A face to dub in an output frame, in pixels of the shown frame.

    Attributes:
        track: Track whose face it is.
        crop_box: The crop that the network gets, shape (4,).
        landmarks: Shape (5, 2).
        opacity: Of the new lips, above 0.
        parts: The numbers of what it says; at one time only one of them is not silent.
    """

    track: int
    crop_box: F32Array
    landmarks: F32Array
    opacity: float
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A job's frames.

    Attributes:
        source: Source frame behind each output frame, shape (N,).
        mel_start: First mel column of each output frame, shape (N,).
        timeline: Times at which they are shown.
        rate: Nominal frames a second.
        chosen: Faces to dub, by source frame.
        parts: Dialogue of each face.
        chunks: Chunks into which the output is cut for the workers.
        audio_s: Length of the delivered sound.
        counts: Numbers for the report.
        speaking: How surely it was found who speaks; None where no active speaker network was asked.
        fitted: What was made longer or shorter; None where nothing was to be.
    """

    source: I64Array
    mel_start: I64Array
    timeline: Timeline
    rate: Fraction
    chosen: FaceSelection
    parts: tuple[Part, ...]
    chunks: list[Span]
    audio_s: Fraction
    counts: Counts
    speaking: SpeakingRecord | None = None
    fitted: FittedRecord | None = None

    def faces(self, number: int) -> Iterator[PlannedFace]:
        """Yield the faces to dub in an output frame."""
        first, last = np.searchsorted(self.chosen.frame, [self.source[number], self.source[number] + 1])
        for row in range(int(first), int(last)):
            track = int(self.chosen.track[row])
            parts = tuple(place for place, part in enumerate(self.parts) if track in part.tracks)
            opacity = max(float(self.parts[place].opacity[number]) for place in parts)
            if opacity:
                opacity *= float(self.chosen.opacity[row])
                yield PlannedFace(track, self.chosen.crop_box[row], self.chosen.landmarks[row], opacity, parts)

    def save(self, path: Path) -> None:
        """Write the arrays as .npz."""
        arrays: dict[str, Any] = {
            "source": self.source,
            "mel_start": self.mel_start,
            "pts": self.timeline.pts,
        }
        arrays |= {column: getattr(self.chosen, name) for name, column in CHOSEN.items()}
        for place, part in enumerate(self.parts):
            arrays |= {f"part_opacity_{place}": part.opacity, f"part_pauses_{place}": part.pauses}
        np.savez_compressed(path, **arrays)

    def record(self) -> PlanRecord:
        """Return all but the arrays."""
        return PlanRecord(
            end_pts=self.timeline.end_pts,
            time_base=str(self.timeline.time_base),
            rate=str(self.rate),
            parts=[
                PartRecord(list(part.tracks), part.sound_id, [[str(start), str(stop)] for start, stop in part.times_s])
                for part in self.parts
            ],
            chunks=[[chunk.start, chunk.stop] for chunk in self.chunks],
            audio_s=str(self.audio_s),
            counts=self.counts,
            speaking=self.speaking,
            fitted=self.fitted,
        )

    @staticmethod
    def load(arrays: Path, record: PlanRecord) -> Plan:
        """Read a plan from the arrays that `save` wrote and its record.

        Raises:
            ValueError: They are damaged.
        """
        data = read_plan_arrays(arrays, record)
        return Plan(
            source=data["source"],
            mel_start=data["mel_start"],
            timeline=Timeline(data["pts"], record.end_pts, Fraction(record.time_base)),
            rate=Fraction(record.rate),
            chosen=FaceSelection(**{name: data[column] for name, column in CHOSEN.items()}),
            parts=tuple(
                Part(
                    tuple(part.tracks),
                    part.sound_id,
                    data[f"part_opacity_{place}"],
                    data[f"part_pauses_{place}"],
                    tuple((Fraction(start), Fraction(stop)) for start, stop in part.times_s),
                )
                for place, part in enumerate(record.parts)
            ),
            chunks=[Span(start, stop) for start, stop in record.chunks],
            audio_s=Fraction(record.audio_s),
            counts=record.counts,
            speaking=record.speaking,
            fitted=record.fitted,
        )


def chunk_frames(settings: Settings, rate: Fraction, frames: int) -> int:
    """Return the length of a chunk in frames.

    Args:
        settings: Say how videos are cut.
        rate: Frames a second.
        frames: Of the video that is cut.
    """
    if settings.chunk.frames:
        return settings.chunk.frames
    length_s = settings.chunk.length_s
    if length_s == "auto":
        length_s = min(max(_SHORTEST_CHUNK_S, frames / float(rate) / _AUTO_CHUNKS), _LONGEST_CHUNK_S)
    return max(1, round(length_s * float(rate)))
