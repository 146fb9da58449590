"""A row's speakers: each has a face while it speaks, and no face has two sounds at a time."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.faces.tracks import affinity
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Times
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import BoolArray, F64Array, I64Array

_ONE_FACE = 0.4  # overlap of a fixed box and a face, as `faces.tracks.affinity` has it
_SLACK_S = Fraction(1, 50)  # times are often rounded
_PRECISION_S = 1e-7  # of a million seconds as floats, with room


def check_alone(faces: str, times_s: Times) -> None:
    """Check that a face's sounds, in order, do not overlap.

    Args:
        faces: Rule that chooses the face, for messages.
        times_s: ``[start, end)`` of each sound, by start.

    Raises:
        FaceError: Two of them do.
    """
    for (_, stop), (start, _) in pairwise(times_s):
        if start < stop - _SLACK_S:
            raise _overlapping(f"{faces} says two things at once", start)


def check_turns(
    parts: tuple[DialogueFacts, ...], source: I64Array, timeline: Timeline, chosen: FaceSelection, settings: Settings
) -> None:
    """Check several speakers against the planned frames.

    Args:
        parts: Dialogue of each face.
        source: Source frame behind each output frame, shape (N,).
        timeline: Times at which the output frames are shown.
        chosen: Faces to dub, by source frame.
        settings: The job's.

    Raises:
        FaceError: A speaker has no face, or is never heard; or one face would say two things at once.
    """
    tick = float(timeline.time_base)
    begins = np.asarray(timeline.pts * tick, np.float64)
    ends = np.append(begins[1:], timeline.end_pts * tick)
    spoken_s = [np.array(part.times_s, np.float64).reshape(-1, 2) for part in parts]
    for part, times_s in zip(parts, spoken_s, strict=True):
        _check_part(part, _shown_in(times_s, begins, ends), source, timeline, chosen, settings)
    for (one, one_s), (other, other_s) in combinations(zip(parts, spoken_s, strict=True), 2):
        if not _may_be_one_face(one.tracks, other.tracks):
            continue
        both = _overlaps(one_s, other_s)
        if not len(both):
            continue
        clash = _shown_in(both, begins, ends) & np.isin(source, _shared(one.tracks, other.tracks, chosen))
        if clash.any():
            moment_s = max(float(both[:, 0].min()), float(begins[int(np.argmax(clash))]))
            raise _overlapping(f"{one.rule} and {other.rule} are one face", Fraction(moment_s))


def overlaid(
    parts: tuple[DialogueFacts, ...], source: I64Array, timeline: Timeline, chosen: FaceSelection
) -> list[BoolArray]:
    """Return the output frames in which a part's lips would be laid over those of another, shape (N,) for each part.

    A fixed box over a face, or over another box, is that face: of two parts the one is drawn who speaks then, or in a
    pause whose words are nearer.

    Args:
        parts: Dialogue of each face.
        source: Source frame behind each output frame, shape (N,).
        timeline: Times at which the output frames are shown.
        chosen: Faces to dub, by source frame.
    """
    found = [np.zeros(len(source), np.bool_) for _ in parts]
    ticks = np.append(timeline.pts, timeline.end_pts) * float(timeline.time_base)
    middle_s = (ticks[1:] + ticks[:-1]) / 2
    away_s = [_away(np.array(part.times_s, np.float64).reshape(-1, 2), middle_s) for part in parts]
    for one, other in combinations(range(len(parts)), 2):
        both = np.isin(source, _under_box(parts[one].tracks, parts[other].tracks, chosen))
        is_nearer = away_s[one] <= away_s[other]
        found[one] |= both & ~is_nearer
        found[other] |= both & is_nearer
    return found


def _away(times_s: F64Array, moments_s: F64Array) -> F64Array:
    """Return the time from each moment to the nearest turn, 0 within one, shape (M,).

    Args:
        times_s: ``[start, end)`` of each turn, by start, shape (T, 2).
        moments_s: Shape (M,).
    """
    if not len(times_s):
        return np.zeros(len(moments_s))
    edges = np.concatenate([[[-np.inf, -np.inf]], times_s, [[np.inf, np.inf]]])
    last = np.searchsorted(times_s[:, 0], moments_s, "right")
    return np.maximum(np.minimum(moments_s - edges[last, 1], edges[last + 1, 0] - moments_s), 0)


def _shown_in(times_s: F64Array, begins: F64Array, ends: F64Array) -> BoolArray:
    """Return the frames that are shown within any of some times, shape (N,).

    Args:
        times_s: ``[start, end)`` of each, shape (T, 2).
        begins: When each frame is shown first, rising, shape (N,).
        ends: Until when, rising, shape (N,).
    """
    first, stop = np.searchsorted(ends, times_s[:, 0], "right"), np.searchsorted(begins, times_s[:, 1], "left")
    steps = np.zeros(len(begins) + 1, np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, np.maximum(stop, first), -1)
    return steps[:-1].cumsum() > 0


def _overlaps(one_s: F64Array, other_s: F64Array) -> F64Array:
    """Return the times at which two speak at once, without what may be rounding, shape (K, 2).

    Args:
        one_s: ``[start, end)`` of the turns of one, by start, apart from each other but for roundings, shape (T, 2).
        other_s: The other's, shape (U, 2).
    """
    slack = float(_SLACK_S) + _PRECISION_S
    one_s, other_s = (turns[turns[:, 1] - turns[:, 0] > slack] for turns in (one_s, other_s))
    first = np.searchsorted(np.maximum.accumulate(other_s[:, 1]), one_s[:, 0] + slack, "right")
    count = np.maximum(np.searchsorted(other_s[:, 0], one_s[:, 1] - slack, "left") - first, 0)
    rank = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
    mine, theirs = one_s.repeat(count, axis=0), other_s[first.repeat(count) + rank]
    starts, stops = np.maximum(mine[:, 0], theirs[:, 0]), np.minimum(mine[:, 1], theirs[:, 1])
    found = np.stack([starts, stops - float(_SLACK_S)], axis=1)
    return np.asarray(found[stops - starts > slack], np.float64)


def _may_be_one_face(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return not {*one}.isdisjoint(other) or min((*one, *other), default=0) < 0


def _shared(one: tuple[int, ...], other: tuple[int, ...], chosen: FaceSelection) -> I64Array:
    """Return the source frames in which two parts have one face: the same track, or a box over a face."""
    same = np.isin(chosen.track, one) & np.isin(chosen.track, other)
    return np.concatenate([chosen.frame[same], _under_box(one, other, chosen)])


def _under_box(one: tuple[int, ...], other: tuple[int, ...], chosen: FaceSelection) -> I64Array:
    """Return the source frames in which the fixed box of one part is over the face, or the box, of another."""
    of_one, of_other = np.isin(chosen.track, one), np.isin(chosen.track, other)
    same = [np.zeros(0, np.int64)]
    for boxes, faces in ((of_one & (chosen.track < 0), of_other), (of_other & (chosen.track < 0), of_one)):
        if boxes.any():
            rest = faces & ~boxes
            likeness = affinity(chosen.face_box[boxes][:1], chosen.face_box[rest])[0]
            same.append(chosen.frame[rest][likeness >= _ONE_FACE])
    return np.concatenate(same)


def _check_part(
    part: DialogueFacts,
    says: BoolArray,
    source: I64Array,
    timeline: Timeline,
    chosen: FaceSelection,
    settings: Settings,
) -> None:
    where, rules = f"speakers ({part.rule})", settings.faces
    if not says.any():
        first_s, duration_s = float(part.times_s[0][0]), float(timeline.duration_s)
        raise FaceError(
            "speaker_unheard",
            where,
            got=f"is not heard: speaks only from {first_s:.2f} s on, and {duration_s:.2f} s are delivered",
            do="Change their start, or lengthen the video or the mix",
        )
    is_shown = np.isin(source, chosen.frame[np.isin(chosen.track, part.tracks)])
    left_alone = np.isin(source, np.concatenate([chosen.too_small, chosen.over_yaw]))
    is_rare = (says & is_shown).sum() < rules.min_face_share * says.sum()
    if part.is_sought and (is_rare or not part.tracks):
        return  # a voice whose face was not found, or hardly ever is seen: a narrator's, say
    if is_rare:
        why = why_left_alone(source[says], chosen, settings)
        raise FaceError(
            "no_face",
            where,
            got=f"that face is in {(says & is_shown).sum()} of the {says.sum()} frames in which it speaks{why}",
            must=f"at least {rules.min_face_share:.1%} are needed",
            do="Choose the face by another rule, change the times, or set faces.min_face_share = 0 to let it through",
        )
    missing = says & ~is_shown & ~left_alone
    if rules.on_no_face == "fail" and missing.any():
        raise FaceError(
            "face_missing",
            where,
            got=f"that face is missing in {missing.sum()} of the {says.sum()} frames in which it speaks",
            must="faces.on_no_face = fail allows none",
            do="Use faces.on_no_face = pass or skip",
        )


def why_left_alone(frames: I64Array, chosen: FaceSelection, settings: Settings) -> str:
    """Return the number of some source frames with faces that were left alone, and why, for a message.

    Args:
        frames: Numbers of the source frames.
        chosen: Faces of the video, those left alone included.
        settings: The job's.
    """
    rules = settings.faces
    left_alone = {
        f"under {rules.min_face_px:g} px in {{}} (faces.min_face_px)": chosen.too_small,
        f"turned by over {rules.max_yaw_deg:g} degrees in {{}} (faces.max_yaw_deg)": chosen.over_yaw,
        "hardly a face in {} (faces.min_confidence)": chosen.doubtful,
    }
    if not (len(chosen.frame) or any(map(len, left_alone.values()))):
        left_alone["without a crop in {} (faces.pads)"] = chosen.seen
    why = ", ".join(text.format(int(np.isin(frames, left).sum())) for text, left in left_alone.items() if len(left))
    return f"; {why}" if why else ""


def _overlapping(happened: str, moment_s: Fraction) -> FaceError:
    return FaceError(
        "speakers_overlap",
        "speakers",
        got=f"{happened} at {float(moment_s):.2f} s",
        must="a face says one thing at a time",
        do="Change their start and end, or choose other faces",
    )
