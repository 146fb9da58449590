"""Segments of a request: what is heard when, as the speakers of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from lipwise_ray.errors import RequestError
from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.service.sync_api.chosen_face import face_rule
from lipwise_ray.service.sync_api.request import SegmentAudio, SoundInput, VideoSegment


def speakers_of(
    segments: Sequence[VideoSegment], sounds: Sequence[tuple[str, SoundInput, JsonObject]], faces: str
) -> list[JsonObject]:
    """Return the speakers of a row, each of whom says what one segment has.

    Args:
        segments: The segments.
        sounds: Field, input, and cells (``audio``, or ``text`` and ``voice``) of each audio or text.
        faces: The rule for the face of segments that choose none.

    Raises:
        RequestError: They overlap, name what is not there or leave something out, or a part is cut that cannot be.
    """
    by_name = _by_name(sounds)
    speakers: list[JsonObject] = []
    used: set[str] = set()
    for number, segment in enumerate(segments):
        field = f"segments[{number}]"
        if segment.end_time <= segment.start_time:
            got = f"{segment.end_time:g} s is not after the start, {segment.start_time:g} s"
            raise RequestError("invalid_request", f"{field}.endTime", got=got)
        ref = segment.audio_input.ref_id
        if ref not in by_name:
            names = ", ".join(sorted(by_name))
            got = f"no audio or text has the refId {ref!a}"
            raise RequestError("invalid_request", f"{field}.audioInput.refId", got=got, do=f"Known: {names}")
        used.add(ref)
        chosen = segment.options_override and segment.options_override.active_speaker_detection
        if chosen and chosen.bounding_boxes is not None:
            where = f"{field}.optionsOverride.active_speaker_detection.bounding_boxes"
            raise RequestError(
                "invalid_request", where, got="boxes cannot belong to a segment", do="Put them into options"
            )
        rule = face_rule(chosen, f"{field}.optionsOverride.active_speaker_detection")
        end_s = min(segment.end_time, segment.start_time + _heard_s(segment.audio_input, f"{field}.audioInput"))
        speakers.append(
            {
                "faces": rule or faces,
                **by_name[ref],
                "start": segment.start_time,
                "end": end_s,
            }
        )
    _refuse_overlaps(segments)
    if unused := by_name.keys() - used:
        field = next(field for field, sound, _ in sounds if sound.ref_id in unused)
        raise RequestError("invalid_request", field, got="no segment names it", do="Leave it out, or name its refId")
    return speakers


def _by_name(sounds: Sequence[tuple[str, SoundInput, JsonObject]]) -> Mapping[str, JsonObject]:
    found: dict[str, JsonObject] = {}
    for field, sound, cells in sounds:
        if sound.ref_id is None:
            raise RequestError("invalid_request", f"{field}.refId", got="missing, and segments name audio by it")
        if sound.ref_id in found:
            raise RequestError("invalid_request", f"{field}.refId", got=f"{sound.ref_id!a} appears twice")
        found[sound.ref_id] = cells
    return found


def _heard_s(part: SegmentAudio, field: str) -> float:
    """Return the seconds of an audio that a segment has at most."""
    if part.start_time is None and part.end_time is None:
        return float("inf")
    if part.start_time is None or part.end_time is None:
        lacks = "startTime" if part.start_time is None else "endTime"
        raise RequestError("invalid_request", f"{field}.{lacks}", got="missing, and the other was given")
    if part.end_time <= part.start_time:
        got = f"{part.end_time:g} s is not after the start, {part.start_time:g} s"
        raise RequestError("invalid_request", f"{field}.endTime", got=got)
    if part.start_time > 0:
        got, do = "the beginning of an audio cannot be left out here", "Send that part as an audio of its own"
        raise RequestError("not_offered", f"{field}.startTime", got=got, do=do)
    return part.end_time


def _refuse_overlaps(segments: Sequence[VideoSegment]) -> None:
    order = sorted(range(len(segments)), key=lambda number: segments[number].start_time)
    for before, after in pairwise(order):
        if segments[after].start_time < segments[before].end_time:
            got = f"{segments[after].start_time:g} s is before the end of segments[{before}]"
            raise RequestError("invalid_request", f"segments[{after}].startTime", got=got)
