"""Quality gate: whether a finished video passes, and which of several attempts at it is the best. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from lipwise_ray.settings.model import GateSettings
from lipwise_ray.state.attempts import ACCEPTED, CHECK, NOT_CHECKED, PASSED
from lipwise_ray.state.face_records import FlickerMeans
from lipwise_ray.state.job_result import Counts, GateFigures, GateVerdict, MeasuredAttempt, VideoMeasures

_DIGITS = 4


def figures_of(measures: VideoMeasures) -> GateFigures:
    """Return the figures that a video is judged by and what they cost.

    Args:
        measures: Of a job's result, or of an attempt that is not published.
    """
    sync = measures.sync
    after = sync.after if sync else None
    counts, flicker = measures.counts or Counts(), measures.flicker or FlickerMeans()
    bare, frames = counts.frames_without_face, counts.frames
    undubbed_share = counts.undubbed_share
    dubbed, filmed = flicker.dubbed, flicker.filmed
    video_s, audio_s = measures.video_s, measures.audio_s
    return GateFigures(
        judge=sync.judge_sha256 if sync else None,
        # What is no LSE is no reason to try again: it may know nothing of such faces, and find none.
        not_lse=bool(sync and sync.note) or (after is not None and after.lse_c is None),
        lse_c=after.lse_c if after else None,
        offset=after.offset if after else None,
        no_face_share=round(bare / frames, _DIGITS) if frames and bare is not None else None,
        undubbed_share=round(undubbed_share, _DIGITS) if undubbed_share is not None else None,
        flicker=None if dubbed is None or filmed is None else round(dubbed - filmed, _DIGITS),
        sharpness=measures.sharpness.sharpness if measures.sharpness else None,
        length_error_s=None if video_s is None or audio_s is None else round(abs(video_s - audio_s), _DIGITS),
        render_s=measures.render_s,
    )


def verdict(measures: VideoMeasures, gate: GateSettings) -> GateVerdict:
    """Return the gate's verdict on a video."""
    return judged(figures_of(measures), gate)


def judged(figures: GateFigures, gate: GateSettings) -> GateVerdict:
    """Return the gate's verdict on a video's figures."""
    reasons, checked = _reasons(figures, gate)
    return GateVerdict(CHECK if reasons else PASSED if checked else NOT_CHECKED, tuple(reasons))


def is_undubbed_alone(figures: GateFigures, gate: GateSettings) -> bool:
    """Tell whether too many frames whose face is seen and not dubbed are all that is wrong with a video."""
    return bool(_reasons(figures, gate)[0]) and not _reasons(replace(figures, undubbed_share=None), gate)[0]


def _reasons(figures: GateFigures, gate: GateSettings) -> tuple[list[str], int]:
    """Return the bounds that are broken, in words, and how many were checked."""
    offset = figures.offset
    of_lips = (
        ("LSE-C", figures.lse_c, gate.min_lse_c, -1),
        ("offset", None if offset is None else abs(offset), gate.max_offset, 1),
    )
    bounds = (
        *(() if figures.not_lse else of_lips),
        ("share of frames without a face", figures.no_face_share, gate.max_no_face_share, 1),
        ("flicker more than filmed", figures.flicker, gate.max_flicker, 1),
        ("sharpness of the mouth", figures.sharpness, gate.min_sharpness, -1),
        ("length error in s", figures.length_error_s, gate.max_length_error_s, 1),
    )
    reasons: list[str] = []
    checked = [bound for bound in bounds if bound[2] is not None]
    for name, value, bound, sign in checked:
        assert bound is not None  # left out above
        if value is None:
            reasons.append(f"{name} was not measured")
        elif value * sign > bound * sign:
            reasons.append(f"{name} is {value:g}; it must be at {'most' if sign > 0 else 'least'} {bound:g}")
    most, share = gate.max_undubbed_share, figures.undubbed_share
    if share is not None and share > most:  # asked of every video: that it holds passes none
        reasons.append(f"share of frames whose face is seen and not dubbed is {share:g}; it must be at most {most:g}")
    return reasons, len(checked)


def rank(attempt: MeasuredAttempt) -> tuple[bool, int, float]:
    """Return the place of an attempt's record among others that have a video; the largest is the best.

    One that passes comes before one that does not, and one that breaks fewer bounds before one that breaks more: lips
    that are clearly out of time score as high as those in time. Then LSE-C decides; one without a score is the last.
    """
    score = -math.inf if attempt.lse_c is None else attempt.lse_c
    return attempt.verdict in ACCEPTED, -len(attempt.reasons), score
