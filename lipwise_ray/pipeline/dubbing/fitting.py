"""Lengths that are made equal: how long the audio of a job has to be, and whether that is within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lipwise_ray.errors import AudioError, InputError, SettingsError
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.trim import used_frames
from lipwise_ray.pipeline.dubbing.used_video import used_video
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.settings.model import TimingSettings
from lipwise_ray.state.fitted_record import FittedClip, FittedRecord
from lipwise_ray.values import round_half_up

FIT = "fit"
"""The rule of `timing.length` by which lengths are made equal."""

_ROUNDED = 1.001
"""Times in manifests are rounded, and lengths are whole samples: a factor at the bound is within it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An audio clip and the time into which it has to fit.

    Attributes:
        what: The clip, for messages.
        length_s: Its own length.
        slot_s: Length that it has to have.
        most: Factor by which it may become longer or shorter, of whatever shares the work.
    """

    what: str
    length_s: Fraction
    slot_s: Fraction
    most: float

    @property
    def factor(self) -> Fraction:
        """Factor by which it would become longer."""
        return self.slot_s / self.length_s

    @property
    def fits(self) -> bool:
        """True where that is within the bound."""
        return 1 / self.most <= self.factor * _ROUNDED and self.factor <= self.most * _ROUNDED


def check_slots(slots: Sequence[Slot], timing: TimingSettings) -> None:
    """Check that clips fit into their times.

    Args:
        slots: All clips of a job that have to.
        timing: The job's.

    Raises:
        AudioError: Some do not; the message names each.
    """
    wrong = [slot for slot in slots if not slot.fits]
    if not wrong:
        return
    each = "; ".join(
        f"{slot.what}: {float(slot.length_s):.2f} s for {float(slot.slot_s):.2f} s, a factor of "
        f"{float(slot.factor):.3f}, and {1 / slot.most:.3f} to {slot.most:.3f} is allowed"
        for slot in wrong
    )
    raise AudioError(
        "beyond_stretch",
        "length = fit",
        got=f"{len(wrong)} of {len(slots)} clips do not fit ({each})",
        do=f"Say more or less, change the times, or raise timing.max_stretch ({timing.max_stretch:g})",
    )


def fitted_s(job: JobContext, audio: records.Audio) -> Fraction:
    """Return the length that the audio has to have of a job whose lengths are made equal, in whole samples.

    Args:
        job: The job, of one audio file.
        audio: Its audio.

    Raises:
        AudioError: One of both would be stretched too far.
        InputError: The video has no length.
        SettingsError: The audio was to be copied, or frames are left out for another reason.
    """
    timing, length_s, rate_hz = job.spec.settings.timing, audio.sound.duration_s, audio.sound.rate_hz
    by = "audio" if job.spec.speakers else timing.fit
    video_s = used_s(job)
    most = timing.max_stretch**2 if by == "both" else timing.max_stretch
    check_slots([Slot("the audio, for the video", length_s, video_s, most)], timing)
    if by == "video" or 2 * abs(length_s - video_s) * job.video.index.mean_rate <= 1:
        return length_s
    if job.spec.settings.encode.audio.codec == "copy":
        raise SettingsError(
            "fit_copies",
            "encode.audio.codec = copy",
            got="audio that timing.length = fit makes longer or shorter cannot be copied",
            do='Use encode.audio.codec = "auto", or timing.fit = "video"',
        )
    wanted_s = Fraction(math.sqrt(length_s * video_s)) if by == "both" else video_s
    return Fraction(max(1, round_half_up(wanted_s * rate_hz)), rate_hz)


def used_s(job: JobContext) -> Fraction:
    """Return the length of a job's used video, before frames are left out.

    Raises:
        InputError: It has none.
        SettingsError: Frames without a face are left out, and which they are is not known before they are looked for.
    """
    index, spec, source = job.video.index, job.spec, job.spec.settings.source
    if job.video.is_still or source.static:
        raise InputError(
            "still_length",
            "length",
            got='cannot be "fit" for a still image, which has no length',
            do='Set length to "audio"',
        )
    if spec.settings.faces.on_no_face == "skip":
        raise SettingsError(
            "fit_skips",
            "timing.length = fit with faces.on_no_face = skip",
            got="the video's length is known only once its faces are found",
            do='Set faces.on_no_face = "pass", or start and end',
        )
    used = used_frames(index, spec.start_s, spec.end_s)
    lead_s = records.lead_s(job.video.info)
    shown = used_video(index, used, source, is_still=False, lead_s=lead_s, start_s=spec.start_s, end_s=spec.end_s)
    return shown.held.total_s


def fitted_record(
    job: JobContext, factors: Sequence[Fraction], output_s: Fraction, slots: tuple[FittedClip, ...] = ()
) -> FittedRecord | None:
    """Return the record of what was made longer or shorter; None for a job whose lengths are not made equal.

    Args:
        job: The job.
        factors: Of each audio clip that was.
        output_s: Length of the output's video.
        slots: What was done to each clip in whose slot the video was stretched.
    """
    timing = job.spec.settings.timing
    if timing.length != FIT:
        return None
    is_moved = bool(slots) or (timing.fit != "audio" and not job.spec.speakers)
    return FittedRecord.of(factors, output_s / used_s(job) if is_moved else Fraction(1), slots)
