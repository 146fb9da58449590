"""Places of a row's clips in its output: where they fit into their times, on a clock that these may have moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lipwise_ray.lipsync.time_map import TimeMap, VideoStretch
from lipwise_ray.pipeline.dubbing.fitting import Slot, check_slots
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.settings.model import TimingSettings
from lipwise_ray.state.fitted_record import FittedClip
from lipwise_ray.values import round_half_up

_MICROSECONDS = 1_000_000
_LEAST_S = Fraction(1, _MICROSECONDS)

_SLACK_S = Fraction(1, 50)
"""Times are often rounded: slots that overlap by less follow one another."""


@dataclass(frozen=True, slots=True)
class SlottedClip:
    """An audio clip and its time, as a row states it.

    Attributes:
        what: The clip, for messages.
        length_s: Its own length; 0 for one without a slot, of which it does not matter.
        start_s: Time at which it begins.
        end_s: Time at which its slot ends; None where it lasts as long as it lasts.
    """

    what: str
    length_s: Fraction
    start_s: Fraction
    end_s: Fraction | None


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """The place of a clip in the delivered sound.

    Attributes:
        start_s: Time at which it begins.
        end_s: Time at which it is cut; None for its own end.
        length_s: Length that it is made to have; None for its own.
    """

    start_s: float
    end_s: float | None
    length_s: Fraction | None


@dataclass(frozen=True, slots=True)
class PlacedClips:
    """The clips of a row.

    Attributes:
        places: Of each.
        factors: By which they were made longer, of those that were made longer or shorter.
        time_map: Times of the output by those of the used video; None where that runs at its own speed.
        record: What was done to each, where the video does not.
    """

    places: tuple[ClipPlace, ...]
    factors: tuple[Fraction, ...] = ()
    time_map: TimeMap | None = None
    record: tuple[FittedClip, ...] = ()


def stated_places(speakers: Iterable[Speaker]) -> PlacedClips:
    """Return the places of clips that are cut at their ends."""
    return PlacedClips(tuple(ClipPlace(speaker.start_s, speaker.end_s, None) for speaker in speakers))


def moved_places(placed: PlacedClips, lengths_s: Sequence[Fraction], factor: Fraction) -> PlacedClips:
    """Return the places of clips in a mix that is made longer or shorter as a whole.

    Args:
        placed: Their places in the mix as it was.
        lengths_s: Each clip's own length.
        factor: Factor by which the mix becomes longer.
    """
    moved = (
        ClipPlace(
            float(Fraction(place.start_s) * factor),
            None if place.end_s is None else float(Fraction(place.end_s) * factor),
            (place.length_s or length_s) * factor,
        )
        for place, length_s in zip(placed.places, lengths_s, strict=True)
    )
    return PlacedClips(tuple(moved), placed.factors)


def placed_clips(clips: Sequence[SlottedClip], timing: TimingSettings) -> PlacedClips:
    """Fit clips into their slots by what the row asks for: audio, video, or each by the square root of what is needed.

    Args:
        clips: All clips of a row.
        timing: The row's.

    Raises:
        AudioError: Some do not fit; the message names each.
    """
    return _filling(clips, timing) if timing.fit == "audio" else _moved(clips, timing)


def _filling(clips: Sequence[SlottedClip], timing: TimingSettings) -> PlacedClips:
    """Return the places of clips whose audio becomes as long as their slots."""
    slots: list[Slot] = []
    places: list[ClipPlace] = []
    for clip in clips:
        if clip.end_s is None:
            places.append(ClipPlace(float(clip.start_s), None, None))
            continue
        slot_s = clip.end_s - clip.start_s
        slots.append(Slot(clip.what, clip.length_s, slot_s, timing.max_stretch))
        places.append(ClipPlace(float(clip.start_s), float(clip.end_s), slot_s))
    check_slots(slots, timing)
    return PlacedClips(tuple(places), tuple(slot.factor for slot in slots if slot.factor != 1))


@dataclass(frozen=True, slots=True)
class _ClipFit:
    """Fit of a clip.

    Attributes:
        length_s: Length that its audio is to have.
        stretch: Of the video, in its slot and those that overlap it.
        asked: What is asked of the clip, to be checked.
    """

    length_s: Fraction
    stretch: VideoStretch
    asked: Slot


def _moved(clips: Sequence[SlottedClip], timing: TimingSettings) -> PlacedClips:
    """Return the places of clips in whose slots the video is stretched.

    Slots that overlap share one stretch, of the factor in the middle of theirs; what is left to each of their clips
    its audio takes. A clip without a slot moves with the video, and is as long as it was.
    """
    clips = [_whole(clip) for clip in clips]
    stretches: list[VideoStretch] = []
    fits: dict[int, _ClipFit] = {}
    for numbers, stop_s in _groups(clips):
        own_s = {number: min(clips[number].end_s or stop_s, stop_s) - clips[number].start_s for number in numbers}
        factors = [clips[number].length_s / own_s[number] for number in numbers]
        stretch = _stretch(clips[numbers[0]].start_s, stop_s, factors, timing)
        stretches.append(stretch)
        for number, slot_s in own_s.items():
            asked = _asked(clips[number], slot_s, stretch, timing, is_alone=len(numbers) == 1)
            fits[number] = _ClipFit(slot_s * stretch.factor, stretch, asked)
    check_slots([fits[number].asked for number in sorted(fits)], timing)
    time_map = TimeMap.of(stretches)
    places: list[ClipPlace] = []
    record: list[FittedClip] = []
    factors = []
    for number, clip in enumerate(clips):
        start_s, fit = time_map.moved_s(clip.start_s), fits.get(number)
        places.append(ClipPlace(float(start_s), None, fit and fit.length_s))
        if fit is None:
            continue
        factors.append(fit.length_s / clip.length_s)
        record.append(FittedClip.of(number + 1, start_s, fit.length_s, audio=factors[-1], video=fit.stretch.factor))
    stretched = tuple(factor for factor in factors if factor != 1)
    return PlacedClips(tuple(places), stretched, time_map if stretches else None, tuple(record))


def _whole(clip: SlottedClip) -> SlottedClip:
    """Return a clip whose times are whole microseconds: sums of thousands of floats would have ever more digits."""
    start_s = _microseconds(clip.start_s)
    end_s = None if clip.end_s is None else max(_microseconds(clip.end_s), start_s + _LEAST_S)
    return SlottedClip(clip.what, clip.length_s, start_s, end_s)


def _microseconds(time_s: Fraction) -> Fraction:
    return Fraction(round_half_up(time_s * _MICROSECONDS), _MICROSECONDS)


def _groups(clips: Sequence[SlottedClip]) -> list[tuple[list[int], Fraction]]:
    """Return the numbers of clips whose slots overlap, by their starts, and the end of each group."""
    slotted = [(clip.start_s, clip.end_s, number) for number, clip in enumerate(clips) if clip.end_s is not None]
    groups: list[tuple[list[int], Fraction]] = []
    for start_s, end_s, number in sorted(slotted):
        numbers, stop_s = groups[-1] if groups else ([], start_s)
        follows = start_s > stop_s - _SLACK_S and (not numbers or start_s >= clips[numbers[-1]].start_s + _SLACK_S)
        if start_s >= stop_s or follows:
            if numbers:
                groups[-1] = numbers, min(stop_s, start_s)
            groups.append(([number], end_s))
        else:
            groups[-1] = [*numbers, number], max(stop_s, end_s)
    return groups


def _stretch(start_s: Fraction, stop_s: Fraction, factors: Sequence[Fraction], timing: TimingSettings) -> VideoStretch:
    """Return the stretch of a video for clips that overlap, or for one.

    Args:
        start_s: Start of the first slot.
        stop_s: End of the last one.
        factors: By which each slot would be as long as its clip.
        timing: The row's.
    """
    slot_s, is_shared = stop_s - start_s, timing.fit == "both"
    if len(factors) == 1 and not is_shared:
        return VideoStretch(start_s, stop_s, slot_s * factors[0])  # exactly, so that the audio stays as it is
    middle = math.sqrt(min(factors) * max(factors))
    shown_s = _microseconds(slot_s * Fraction(math.sqrt(middle) if is_shared else middle))
    return VideoStretch(start_s, stop_s, max(shown_s, _LEAST_S))


def _asked(
    clip: SlottedClip, slot_s: Fraction, stretch: VideoStretch, timing: TimingSettings, *, is_alone: bool
) -> Slot:
    """Return the demand on a clip: of video and audio together, or of its audio where others have the video's say.

    Args:
        clip: The clip.
        slot_s: Length of its slot.
        stretch: Of the video there.
        timing: The row's.
        is_alone: No other slot overlaps its own.
    """
    most, video = timing.max_stretch, stretch.factor
    if is_alone or not Slot("", Fraction(1), video, most).fits:
        return Slot(clip.what, clip.length_s, slot_s, most**2 if timing.fit == "both" else most)
    what = f"{clip.what}, whose slot overlaps others and becomes {float(video):.3f} times as long with them"
    return Slot(what, clip.length_s, slot_s * video, most)
