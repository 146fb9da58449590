"""Making the plan of a job. Pure: the same facts and settings give the same plan."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipwise_ray.errors import FaceError, InputError
from lipwise_ray.faces.select import INDEX, LIKE, FaceSelection
from lipwise_ray.lipsync.fitted_frames import AT_CUT, fitted_sequence, moved_sequence
from lipwise_ray.lipsync.lengths import Sequence, SourceClock, output_sequence
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.voice_activity import runs
from lipwise_ray.lipsync.windows import constant_rate_starts, reference_frames, timed_starts
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.chunk_borders import chunk_spans
from lipwise_ray.pipeline.dubbing.dialogue import check_turns, overlaid, why_left_alone
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Facts, Part, Plan, chunk_frames
from lipwise_ray.pipeline.dubbing.trim import used_frames
from lipwise_ray.pipeline.dubbing.undubbed import most_undubbed
from lipwise_ray.pipeline.dubbing.used_video import UsedVideo, used_video
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.job_result import Counts
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array, Span, round_half_up, spans, steps_to

_FADE_S = 0.12
_OF_OTHERS = {
    INDEX: "Take a number that `lipwise-ray inspect` shows",
    LIKE: "Lower faces.min_likeness or take another portrait",
}
"""Advice by the kinds of rules that mean nobody though people are there."""

_COLUMN_SLACK = 1e-6


def make_plan(facts: Facts, chosen: FaceSelection, settings: Settings) -> Plan:
    """Plan a job.

    Raises:
        InputError: No frame lies between start and end, or a still image was given no length.
        FaceError: The chosen face is in too few frames, or missing where that may not be; or it would say two things
            at once.
    """
    used = used_frames(facts.index, facts.start_s, facts.end_s)
    is_dubbed = np.isin(used, chosen.frame)
    is_there = is_dubbed | np.isin(used, np.concatenate([chosen.too_small, chosen.over_yaw]))
    is_looked_through = facts.window is None or facts.window.looked is None
    if is_looked_through:
        _check_faces(facts, used, is_dubbed, is_there, chosen, settings)
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
    if facts.parts[0].times_s and is_looked_through:
        check_turns(facts.parts, source, timeline, chosen, settings)
    with_face = int(np.isin(source, chosen.frame).sum())
    hidden = overlaid(facts.parts, source, timeline, chosen)
    seen, undubbed = most_undubbed(source, chosen, [part.tracks for part in facts.parts])
    parts = tuple(
        Part(
            part.tracks,
            part.sound_id,
            np.where(under, 0, _opacity(facts, part, source, starts, rate, settings)).astype(np.float32),
            np.zeros((0, 2), np.int64) if part.voiced is None else runs(~part.voiced),
            part.times_s,
        )
        for part, under in zip(facts.parts, hidden, strict=True)
    )
    return Plan(
        source=source,
        mel_start=starts,
        timeline=timeline,
        rate=rate,
        chosen=chosen,
        parts=parts,
        chunks=_chunks(facts, source, timeline, rate, settings),
        audio_s=_sound_length(facts, timeline, rate, settings),
        counts=Counts(
            frames=len(source),
            frames_with_face=with_face,
            frames_without_face=len(source) - with_face,
            source_frames_used=looked,
            source_frames_without_face=int((~is_dubbed).sum()),
            source_frames_skipped=skipped,
            frames_in_pauses=int((np.max([part.opacity for part in parts], axis=0) == 0).sum()),
            own_sound_used=int(facts.own_voiced is not None),
            faces_too_small=int(np.isin(chosen.too_small, source).sum()),
            faces_turned_away=int(np.isin(chosen.over_yaw, source).sum()),
            faces_doubtful=int(np.isin(chosen.doubtful, source).sum()),
            frames_seen=seen,
            frames_undubbed=undubbed,
        ),
    )


def window_sources(facts: Facts, settings: Settings) -> Span | None:
    """Return the range of source frames that a window shows; None where that follows from the faces of the whole video.

    Args:
        facts: The job's, its parts and cuts left out: where they decide, the answer is None.
        settings: Of the row.

    Raises:
        InputError: No frame lies between start and end, or the window begins after the output's end.
    """
    timing = settings.timing
    if (
        facts.window is None
        or settings.faces.on_no_face != "pass"
        or (timing.length == "fit" and timing.fit != "audio")
    ):
        return None
    used = used_frames(facts.index, facts.start_s, facts.end_s)
    if settings.source.static:
        used = used[:1]
    sequence, clock = _sequence(facts, used, settings)
    frames = facts.window.frames(Timeline(sequence.pts, sequence.end_pts, clock.time_base))
    shown = used[sequence.source][frames.start : frames.stop]
    return Span(int(shown.min()), int(shown.max()) + 1)


def _chunks(facts: Facts, source: I64Array, timeline: Timeline, rate: Fraction, settings: Settings) -> list[Span]:
    if facts.window is not None:
        return facts.window.chunks(timeline)
    length = chunk_frames(settings, rate, len(source))
    return spans(len(source), length) if settings.chunk.frames else chunk_spans(source, facts.index.is_key, length)


def _opacity(
    facts: Facts, part: DialogueFacts, source: I64Array, starts: I64Array, rate: Fraction, settings: Settings
) -> F32Array:
    """Return the opacity of the new lips in each output frame: 0 where both sounds pause, with a fade before and after.

    Where the original audio goes on, or there is none to tell, the new lips stay.
    """
    if settings.lipsync.silence != "original" or part.voiced is None or facts.own_voiced is None:
        return np.ones(len(source), np.float32)
    own = np.floor(_own_seconds(facts, source) * MEL_RATE_HZ + _COLUMN_SLACK).astype(np.int64)
    heard = _at(part.voiced, starts) | _at(facts.own_voiced, own)
    fade = max(1, round(_FADE_S * float(rate)))
    return np.clip(1 - (steps_to(heard) - 1) / fade, 0, 1).astype(np.float32)


def _at(voiced: BoolArray, columns: I64Array) -> BoolArray:
    """Return the speech mask at each column; there is none before and after the sound."""
    inside = (columns >= 0) & (columns < len(voiced))
    return inside & voiced[np.clip(columns, 0, len(voiced) - 1)]


def _check_faces(
    facts: Facts, used: I64Array, is_dubbed: BoolArray, is_there: BoolArray, chosen: FaceSelection, settings: Settings
) -> None:
    dubbed, total = int(is_dubbed.sum()), len(used)
    rules, rule = settings.faces, ", ".join(part.rule for part in facts.parts)
    if dubbed < rules.min_face_share * total or (rules.on_no_face == "skip" and not is_there.any()):
        raise FaceError(
            "no_face",
            "video",
            got=f"the chosen face ({rule}) is in {dubbed} of {total} frames{_others(facts)}"
            f"{why_left_alone(used, chosen, settings)}",
            must=f"at least {rules.min_face_share:.1%} are needed",
            do=f"{_remedy(facts, used, chosen)}, give faces = box:..., "
            "or set faces.min_face_share = 0 to let it through",
        )
    if rules.on_no_face == "fail" and not is_there.all():
        first = int(used[int(np.argmin(is_there))])
        raise FaceError(
            "face_missing",
            "video",
            got=f"the chosen face is missing in {int((~is_there).sum())} of {total} frames, first in frame {first}",
            must="faces.on_no_face = fail allows none",
            do="Use faces.on_no_face = pass or skip",
        )


def _chooses_nobody(facts: Facts) -> str:
    """Return the advice on a rule that means none of those who are there; empty where each means somebody."""
    kinds = {part.kind for part in facts.parts if not part.tracks} if facts.people else set[str]()
    return next((text for kind, text in _OF_OTHERS.items() if kind in kinds), "")


def _others(facts: Facts) -> str:
    """Return the number of others, for a message, where a rule means nobody; else nothing."""
    people = "1 person is" if facts.people == 1 else f"up to {facts.people} people are"
    return f"; {people} seen" if _chooses_nobody(facts) else ""


def _remedy(facts: Facts, used: I64Array, chosen: FaceSelection) -> str:
    """Return the setting to change for faces that were left alone in most frames, or found in none."""
    if other := _chooses_nobody(facts):
        return other
    left_alone = {
        "Lower faces.min_face_px": chosen.too_small,
        "Raise faces.max_yaw_deg": chosen.over_yaw,
        "Lower faces.min_confidence": chosen.doubtful,
    }
    count, remedy = max((int(np.isin(used, frames).sum()), text) for text, frames in left_alone.items())
    if count:
        return remedy
    return "Make faces.pads larger" if np.isin(used, chosen.seen).any() else "Lower detect.min_score"


def _sequence(facts: Facts, used: I64Array, settings: Settings) -> tuple[Sequence, SourceClock]:
    timing = settings.timing
    if facts.is_still and timing.length in ("video", "fit"):
        raise InputError(
            "still_length",
            "length",
            got=f'cannot be "{timing.length}" for a still image, which has no length',
            do='Set length to "audio"',
        )
    shown = used_video(
        facts.index,
        used,
        settings.source,
        is_still=facts.is_still,
        lead_s=facts.lead_s,
        start_s=facts.start_s,
        end_s=facts.end_s,
    )
    length = timing.length
    if length == "fit":
        if facts.time_map is not None or (timing.fit != "audio" and not facts.parts[0].times_s):
            return _fitted(facts, used, shown), shown.clock
        length = "video"  # the audio was made as long
    clock, lead, rate = shown.clock, shown.lead, shown.clock.rate
    if not lead or rate is None:
        return output_sequence(clock, facts.audio_s, length, timing.extend), clock
    # The first frame is held until the moment at which the source starts to move.
    count = len(output_sequence(shown.held, facts.audio_s, length, timing.extend).source)
    moving = output_sequence(clock, max(count - lead, 1) / rate, "audio", timing.extend).source
    source = np.concatenate([np.zeros(lead, np.int64), moving])[:count]
    return Sequence(source, np.arange(count, dtype=np.int64), count), clock


def _fitted(facts: Facts, used: I64Array, shown: UsedVideo) -> Sequence:
    """Return the output's frames of a video that is made as long as the delivered sound, or under some clips."""
    clock, time_map = shown.held, facts.time_map
    place = np.maximum(np.arange(len(clock.duration)) - shown.lead, 0)
    wanted = max(1, round_half_up(facts.audio_s / clock.time_base))
    begins_s = np.asarray((np.cumsum(clock.duration) - clock.duration) * float(clock.time_base), np.float64)
    even_s = np.asarray(begins_s * float(facts.audio_s / clock.total_s), np.float64)
    new_s = time_map.moved(begins_s) if time_map else even_s
    heard = sum(_spoken_at(part.voiced, new_s) for part in facts.parts if part.voiced is not None)
    cost = 1 + heard + _spoken_at(facts.own_voiced, _own_seconds(facts, used[place]))
    cost[np.isin(used[place], [*facts.cuts, *(facts.cuts - 1)])] = AT_CUT
    sequence = moved_sequence(clock, time_map, cost) if time_map else fitted_sequence(clock, wanted, cost)
    return Sequence(place[sequence.source], sequence.pts, sequence.end_pts)


def _spoken_at(voiced: BoolArray | None, seconds: F64Array) -> I64Array:
    """Return 1 where an audio stream holds speech at some times, else 0; 0 throughout where nobody knows."""
    if voiced is None:
        return np.zeros(len(seconds), np.int64)
    return _at(voiced, np.floor(seconds * MEL_RATE_HZ + _COLUMN_SLACK).astype(np.int64)).astype(np.int64)


def _own_seconds(facts: Facts, source: I64Array) -> F64Array:
    """Return the times of source frames on the clock of the source's own sound."""
    ticks = facts.index.pts[source] - int(facts.index.pts[0])
    return np.asarray(ticks * float(facts.index.time_base) + float(facts.lead_s), np.float64)


def _sound_length(facts: Facts, timeline: Timeline, rate: Fraction, settings: Settings) -> Fraction:
    """Return the length of the delivered audio: its own where that is within half a frame."""
    if settings.timing.length == "audio" or abs(timeline.duration_s - facts.audio_s) <= 1 / (2 * rate):
        return facts.audio_s
    return timeline.duration_s
