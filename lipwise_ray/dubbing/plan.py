"""The plan of a job: which source frame, which sound and which faces stand behind every output frame.

Pure: the same facts and settings give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.dubbing.plan_record import CHOSEN, read_plan_arrays, read_plan_record
from lipwise_ray.dubbing.trim import shown_ticks, used_frames
from lipwise_ray.dubbing.turns import Times, check_turns, why_left_alone
from lipwise_ray.errors import FaceError, InputError
from lipwise_ray.faces.select import Chosen
from lipwise_ray.lipsync.lengths import Sequence, SourceClock, output_sequence
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.speech import runs
from lipwise_ray.lipsync.windows import constant_rate_starts, reference_frames, timed_starts
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.join import Timeline
from lipwise_ray.settings import Settings
from lipwise_ray.values import BoolArray, F32Array, I64Array, Json, Span, round_half_up, spans, steps_to

_FADE_S = 0.12
_AUTO_CHUNKS, _SHORTEST_CHUNK_S, _LONGEST_CHUNK_S = 120, 10.0, 60.0
"""Chunks of a long video, and their bounds: short ones are all overhead, a long one costs a lost worker much."""

_COLUMN_SLACK = 1e-6
_LEAD_SLACK = Fraction(1, 2)  # frames


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What is known of all that one face says.

    Attributes:
        rule: How the face is chosen, for messages.
        tracks: The numbers of its tracks.
        sound_id: The record of what it says, on the delivered sound's clock.
        voiced: Which columns of its mel hold speech, shape (columns,); None where pauses are nothing special.
        times_s: ``[start, end)`` of each thing said; empty where that is everything.
    """

    rule: str
    tracks: tuple[int, ...]
    sound_id: str
    voiced: BoolArray | None = None
    times_s: Times = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job's inputs.

    Attributes:
        index: Frames of the source.
        is_still: The source is a single picture.
        lead_s: How much later than the source's own sound its picture starts.
        audio_s: Exact duration of the delivered sound.
        mel_columns: Columns of its mel.
        parts: Who says what, at least one.
        start_s: First second of the source that is used.
        end_s: Where use of the source ends, None for its end.
        own_voiced: Which columns of the source's own mel hold speech; it begins with that sound, or with a picture that
            starts earlier. None where there is none that can be used.
    """

    index: FrameIndex
    is_still: bool
    lead_s: Fraction
    audio_s: Fraction
    mel_columns: int
    parts: tuple[PartFacts, ...]
    start_s: float
    end_s: float | None
    own_voiced: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """All that one face says.

    Attributes:
        tracks: The face's.
        sound_id: The record of it, on the delivered sound's clock.
        opacity: Of the new lips in each output frame, shape (N,), in [0, 1]: 0 shows the filmed ones.
        pauses: ``[start, stop)`` of mel columns that are silent for the network, shape (P, 2).
        times_s: ``[start, end)`` of each thing said; empty where that is everything.
    """

    tracks: tuple[int, ...]
    sound_id: str
    opacity: F32Array
    pauses: I64Array
    times_s: Times = ()


@dataclass(frozen=True, slots=True)
class DubbedFace:
    """A face to dub in an output frame, in pixels of the shown picture.

    Attributes:
        track: Whose it is.
        box: The crop that the network gets, shape (4,).
        landmarks: Shape (5, 2).
        opacity: Of the new lips, above 0.
        parts: The numbers of what it says; at one time only one of them is not silent.
    """

    track: int
    box: F32Array
    landmarks: F32Array
    opacity: float
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A job's frames.

    Attributes:
        source: Source frame behind each output frame, shape (N,).
        mel_start: First mel column of each output frame, shape (N,).
        timeline: When each is shown.
        rate: Nominal frames a second.
        chosen: Faces to dub, by source frame.
        parts: Who says what.
        chunks: How the output is cut for the workers.
        audio_s: Length of the delivered sound.
        counts: Numbers for the report.
    """

    source: I64Array
    mel_start: I64Array
    timeline: Timeline
    rate: Fraction
    chosen: Chosen
    parts: tuple[Part, ...]
    chunks: list[Span]
    audio_s: Fraction
    counts: dict[str, int]

    def faces(self, number: int) -> Iterator[DubbedFace]:
        """Yield the faces to dub in an output frame."""
        first, last = np.searchsorted(self.chosen.frame, [self.source[number], self.source[number] + 1])
        for row in range(int(first), int(last)):
            track = int(self.chosen.track[row])
            parts = tuple(place for place, part in enumerate(self.parts) if track in part.tracks)
            opacity = max(float(self.parts[place].opacity[number]) for place in parts)
            if opacity:
                opacity *= float(self.chosen.opacity[row])
                yield DubbedFace(track, self.chosen.box[row], self.chosen.landmarks[row], opacity, parts)

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

    def summary(self) -> Json:
        """Return all but the arrays as JSON values."""
        return {
            "end_pts": self.timeline.end_pts,
            "time_base": str(self.timeline.time_base),
            "rate": str(self.rate),
            "parts": [
                {
                    "tracks": list(part.tracks),
                    "sound_id": part.sound_id,
                    "times_s": [[str(start), str(stop)] for start, stop in part.times_s],
                }
                for part in self.parts
            ],
            "chunks": [[chunk.start, chunk.stop] for chunk in self.chunks],
            "audio_s": str(self.audio_s),
            "counts": self.counts,
        }

    @staticmethod
    def load(arrays: Path, summary: Json) -> Plan:
        """Read what `save` and `summary` gave.

        Raises:
            ValueError: They are damaged.
        """
        record = read_plan_record(summary)
        data = read_plan_arrays(arrays, record)
        return Plan(
            source=data["source"],
            mel_start=data["mel_start"],
            timeline=Timeline(data["pts"], record.end_pts, Fraction(record.time_base)),
            rate=Fraction(record.rate),
            chosen=Chosen(**{name: data[column] for name, column in CHOSEN.items()}),
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


def make_plan(facts: Facts, chosen: Chosen, settings: Settings) -> Plan:
    """Plan a job.

    Raises:
        InputError: No frame lies between start and end, or a still image was given no length.
        FaceError: The chosen face is in too few frames, or missing where that may not be; or it would say two things
            at once.
    """
    used = used_frames(facts.index, facts.start_s, facts.end_s)
    is_dubbed = np.isin(used, chosen.frame)
    is_there = is_dubbed | np.isin(used, np.concatenate([chosen.too_small, chosen.turned_away]))
    rules = ", ".join(part.rule for part in facts.parts)
    _check_faces(rules, used, is_dubbed, is_there, chosen, settings)
    looked, first = len(used), used[is_dubbed][:1]
    if settings.faces.on_no_face == "skip":
        used = used[is_there]
    skipped = looked - len(used)
    if settings.source.static:
        used = first if settings.faces.on_no_face == "skip" and len(first) else used[:1]
    sequence, clock = _sequence(facts, used, settings)
    source = used[sequence.source]
    rate = clock.rate or facts.index.mean_rate
    pts, end_pts = sequence.pts, sequence.end_pts
    if settings.lipsync.windows == "reference" and settings.timing.length == "audio":
        count, starts = reference_frames(facts.mel_columns, rate)
        count = min(count, len(source))
        starts = starts + round(settings.lipsync.audio_offset_ms * MEL_RATE_HZ / 1000)
        source, pts, starts = source[:count], pts[:count], starts[:count]
        end_pts = int(sequence.pts[count]) if count < len(sequence.pts) else end_pts
    elif clock.rate is not None:
        starts = constant_rate_starts(len(source), clock.rate, settings.lipsync.audio_offset_ms)
    else:
        starts = timed_starts(pts, clock.time_base, settings.lipsync.audio_offset_ms)
    timeline = Timeline(pts, end_pts, clock.time_base)
    if facts.parts[0].times_s:
        check_turns(facts.parts, source, timeline, chosen, settings)
    with_face = int(np.isin(source, chosen.frame).sum())
    parts = tuple(
        Part(
            part.tracks,
            part.sound_id,
            _opacity(facts, part, source, starts, rate, settings),
            np.zeros((0, 2), np.int64) if part.voiced is None else runs(~part.voiced),
            part.times_s,
        )
        for part in facts.parts
    )
    return Plan(
        source=source,
        mel_start=starts,
        timeline=timeline,
        rate=rate,
        chosen=chosen,
        parts=parts,
        chunks=spans(len(source), chunk_frames(settings, rate, len(source))),
        audio_s=_sound_length(facts, timeline, rate, settings),
        counts={
            "frames": len(source),
            "frames_with_face": with_face,
            "frames_without_face": len(source) - with_face,
            "source_frames_used": looked,
            "source_frames_without_face": int((~is_dubbed).sum()),
            "source_frames_skipped": skipped,
            "frames_in_pauses": int((np.max([part.opacity for part in parts], axis=0) == 0).sum()),
            "own_sound_used": int(facts.own_voiced is not None),
            "faces_too_small": int(np.isin(chosen.too_small, source).sum()),
            "faces_turned_away": int(np.isin(chosen.turned_away, source).sum()),
        },
    )


def _opacity(
    facts: Facts, part: PartFacts, source: I64Array, starts: I64Array, rate: Fraction, settings: Settings
) -> F32Array:
    """Return the opacity of the new lips in each output frame: 0 where both sounds pause, with a fade before and after.

    Where the filmed sound goes on, or there is none to tell, the new lips stay.
    """
    if settings.lipsync.silence != "original" or part.voiced is None or facts.own_voiced is None:
        return np.ones(len(source), np.float32)
    ticks = facts.index.pts[source] - int(facts.index.pts[0])
    seconds = ticks * float(facts.index.time_base) + float(facts.lead_s)
    own = np.floor(seconds * MEL_RATE_HZ + _COLUMN_SLACK).astype(np.int64)
    heard = _at(part.voiced, starts) | _at(facts.own_voiced, own)
    fade = max(1, round(_FADE_S * float(rate)))
    return np.clip(1 - (steps_to(heard) - 1) / fade, 0, 1).astype(np.float32)


def _at(voiced: BoolArray, columns: I64Array) -> BoolArray:
    """Return whether there is speech at each column; there is none before and after the sound."""
    inside = (columns >= 0) & (columns < len(voiced))
    return inside & voiced[np.clip(columns, 0, len(voiced) - 1)]


def _check_faces(
    rule: str, used: I64Array, is_dubbed: BoolArray, is_there: BoolArray, chosen: Chosen, settings: Settings
) -> None:
    found, looked = int(is_dubbed.sum()), len(used)
    rules = settings.faces
    if found < rules.min_face_share * looked or (rules.on_no_face == "skip" and not is_there.any()):
        raise FaceError(
            "no_face",
            "video",
            f"needs the chosen face ({rule}) in at least {rules.min_face_share:.1%} of its frames",
            f"{found} of {looked} frames{why_left_alone(used, chosen, settings)}",
            "Lower detect.min_score, give faces = box:..., or set faces.min_face_share = 0 to let it through",
        )
    if rules.on_no_face == "fail" and not is_there.all():
        first = int(used[int(np.argmin(is_there))])
        raise FaceError(
            "face_missing",
            "video",
            "needs the chosen face in every frame (faces.on_no_face = fail)",
            f"{int((~is_there).sum())} of {looked} frames without it, the first is frame {first}",
            "Use faces.on_no_face = pass or skip",
        )


def _sequence(facts: Facts, used: I64Array, settings: Settings) -> tuple[Sequence, SourceClock]:
    timing, index = settings.timing, facts.index
    if facts.is_still and timing.length == "video":
        raise InputError(
            "still_length", "length", "must be audio for a still image, which has no length", "video", "Change it"
        )
    length = "audio" if facts.is_still else timing.length
    rate = Fraction(settings.source.still_rate) if facts.is_still else index.rate
    leads = int(used[0]) == 0 and not facts.is_still and not settings.source.static
    if rate is not None:
        clock = SourceClock(np.ones(len(used), np.int64), 1 / rate, rate)
        lead = round_half_up(facts.lead_s * rate) if leads and facts.lead_s * rate >= _LEAD_SLACK else 0
        if not lead:
            return output_sequence(clock, facts.audio_s, length, timing.extend), clock
        # The first picture is held until the moment at which the source starts to move.
        longer = SourceClock(np.ones(len(used) + lead, np.int64), 1 / rate, rate)
        count = len(output_sequence(longer, facts.audio_s, length, timing.extend).source)
        rest = output_sequence(clock, max(count - lead, 1) / rate, "audio", timing.extend).source
        source = np.concatenate([np.zeros(lead, np.int64), rest])[:count]
        return Sequence(source, np.arange(count, dtype=np.int64), count), clock
    duration = shown_ticks(index, used, facts.start_s, facts.end_s)
    if leads and facts.start_s == 0:
        duration[0] += round_half_up(facts.lead_s / index.time_base)
    clock = SourceClock(duration, index.time_base, None)
    return output_sequence(clock, facts.audio_s, length, timing.extend), clock


def _sound_length(facts: Facts, timeline: Timeline, rate: Fraction, settings: Settings) -> Fraction:
    """Return how long the delivered sound is: its own length where that is within half a frame."""
    if settings.timing.length == "audio" or abs(timeline.duration_s - facts.audio_s) <= 1 / (2 * rate):
        return facts.audio_s
    return timeline.duration_s
