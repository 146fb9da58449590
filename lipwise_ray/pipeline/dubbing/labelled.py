"""The sign that a job's frames show: its frames, and its part in the ids of jobs and chunks."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.label import FrameLabel, Sign, check_sign
from lipwise_ray.media.region import Canvas
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.state.delivered_records import LabelRecord
from lipwise_ray.state.ids import Identity, record_id
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.values import Span


def label_identity(marking: MarkingSettings) -> Identity:
    """Return the sign's part of a job's identity, nothing where it has none; a font counts by its contents.

    Raises:
        SettingsError: The font cannot be read.
    """
    if marking.label == "off":
        return {}
    length = {"seconds": marking.label_s} if marking.label == "start" else {}
    return {"label": {**label_look(marking), **length}}


def label_look(marking: MarkingSettings) -> Identity:
    """Return all of the sign that a frame shows; a font, which is read for it, by its contents.

    Args:
        marking: The job's.

    Raises:
        SettingsError: The font cannot be read.
    """
    look = {"text": marking.label_text, "corner": marking.label_corner}
    if marking.label_font is None:
        return look
    try:
        return {**look, "font": sha256_of(Path(marking.label_font))}
    except OSError as error:
        raise SettingsError(
            "label_font",
            "marking.label_font",
            got=f"{marking.label_font} cannot be read: {error.strerror}",
            do="Name a font that every machine has there",
        ) from error


def labelled_frames(marking: MarkingSettings, timeline: Timeline) -> Span:
    """Return the output frames that show the sign.

    Args:
        marking: The job's.
        timeline: Times of the output's frames.
    """
    frames = len(timeline.pts)
    if marking.label == "start":
        ticks = math.ceil(Fraction(str(marking.label_s)) / timeline.time_base)
        return Span(0, int(np.searchsorted(timeline.pts - timeline.pts[0], ticks)))
    return Span(0, 0 if marking.label == "off" else frames)


def labelled_rendering(rendering: str, look: Identity, frames: Span, chunk: Span) -> str:
    """Return the id of a chunk's rendering: the job's own where none of its frames shows the sign.

    So the chunks after a sign at the start are those of the job without one.

    Args:
        rendering: Id of how the job's frames are rendered and encoded.
        look: All of the sign that a frame shows.
        frames: Output frames that show it.
        chunk: The chunk.
    """
    shown = min(frames.stop, chunk.stop)
    if shown <= chunk.start:
        return rendering
    return record_id({"rendering": rendering, "label": look, "shown": shown})


def label_of(marking: MarkingSettings, canvas: Canvas) -> FrameLabel | None:
    """Return the painter of a job's sign, None where it has none.

    Args:
        marking: The job's.
        canvas: Geometry and colours of the finished frames.

    Raises:
        SettingsError: The font cannot be read, or lacks a letter of the text.
    """
    sign = _sign(marking)
    return FrameLabel(sign, canvas) if sign else None


def check_label(marking: MarkingSettings) -> None:
    """Find out whether a row's sign, if it has one, can be drawn.

    Args:
        marking: The row's.

    Raises:
        SettingsError: The font cannot be read, or lacks a letter of the text.
    """
    sign = _sign(marking)
    if sign is not None:
        check_sign(sign)


def _sign(marking: MarkingSettings) -> Sign | None:
    font = Path(marking.label_font) if marking.label_font else None
    return Sign(marking.label_text, marking.label_corner, font) if marking.label != "off" else None


def label_record(marking: MarkingSettings, timeline: Timeline, canvas: Canvas) -> LabelRecord | None:
    """Return the record of the sign in a job's output; None where it shows none.

    Args:
        marking: The job's.
        timeline: Times of the output's frames.
        canvas: Geometry and colours of its frames, at any size.

    Raises:
        SettingsError: The font cannot be read, or lacks a letter of the text.
    """
    label = label_of(marking, canvas)
    if label is None:
        return None
    shown, (left, top, right, bottom) = canvas.shown_size, label.box
    box = (left / shown.width, top / shown.height, right / shown.width, bottom / shown.height)
    return LabelRecord(text=marking.label_text, frames=len(labelled_frames(marking, timeline)), box=box)
