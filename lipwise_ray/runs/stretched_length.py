"""Estimate of the length of a video that is stretched in the slots of a row's clips, before speech is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from lipwise_ray.pipeline.dubbing.clip_places import SlottedClip, placed_clips
from lipwise_ray.pipeline.dubbing.fitting import FIT
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.runs.speech_check import cues_of, speech_s
from lipwise_ray.settings.model import Settings, TimingSettings

_UNBOUNDED = 1e9


def stretches(row: Row, settings: Settings) -> bool:
    """Tell whether a row's video is stretched in the slots of its clips.

    Args:
        row: The row.
        settings: Its settings.
    """
    timing = settings.timing
    if timing.length != FIT or timing.fit == "audio" or row.audio is not None:
        return False
    return bool(row.script and row.script.file) or any(one.end_s is not None for one in row.speakers)


def stretched_s(
    row: Row, settings: Settings, video_s: Fraction, media: Media, length_s: Callable[[Speaker], Fraction]
) -> Fraction:
    """Estimate the length that a row's video gets, in seconds; the length of speech that is to be made is guessed.

    Args:
        row: A row whose video is stretched.
        settings: Its settings.
        video_s: Length of its used video.
        media: Opens its inputs.
        length_s: Gives the length of the audio of a clip that has some.

    Raises:
        InputError: Its file of cues cannot be used.
    """
    timing = settings.timing
    clips = [_within_bounds(clip, timing) for clip in _clips(row, media, length_s)]
    # A guess refuses nothing: that a clip does not fit is found once its audio is there.
    unbounded = timing.model_copy(update={"max_stretch": _UNBOUNDED})
    time_map = placed_clips(clips, unbounded).time_map
    return time_map.moved_s(video_s) if time_map else video_s


def unmoved_background(row: Row, settings: Settings) -> str | None:
    """Return the warning of a background file that will not follow its row's video; None where there is no such file.

    Args:
        row: The row.
        settings: Its settings.
    """
    if background_file(row.background) is None or not stretches(row, settings):
        return None
    return (
        "the background is laid from the start on as it is: it does not follow the video, which timing.fit = "
        f'"{settings.timing.fit}" stretches. Set timing.fit = "audio", or take the video\'s own background'
    )


def _clips(row: Row, media: Media, length_s: Callable[[Speaker], Fraction]) -> Iterator[SlottedClip]:
    for cue in cues_of(row, media):
        yield SlottedClip(cue.where, speech_s(cue.text), Fraction(cue.start_s), Fraction(cue.end_s))
    for one in row.speakers:
        start_s, end_s = Fraction(one.start_s), None if one.end_s is None else Fraction(one.end_s)
        lasts_s = Fraction(0) if end_s is None else speech_s(one.text) if one.text else length_s(one)
        yield SlottedClip(one.faces, lasts_s, start_s, end_s)


def _within_bounds(clip: SlottedClip, timing: TimingSettings) -> SlottedClip:
    """Return a clip whose length is one with which its row could be done."""
    if clip.end_s is None:
        return clip
    most = Fraction(timing.max_stretch) ** (2 if timing.fit == "both" else 1)
    slot_s = clip.end_s - clip.start_s
    return SlottedClip(clip.what, min(max(clip.length_s, slot_s / most), slot_s * most), clip.start_s, clip.end_s)
