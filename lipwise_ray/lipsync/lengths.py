"""Length of the output, and the source frame behind every output frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from lipwise_ray.values import I64Array, round_half_up

LengthRule = Literal["audio", "video", "shortest", "longest"]
ExtendRule = Literal["pingpong", "loop", "hold"]


@dataclass(frozen=True, slots=True)
class SourceClock:
    """The part of a video that is used: its frames and when they are shown.

    Attributes:
        duration: Ticks every frame is shown, shape (N,), N >= 1.
        time_base: Seconds a tick.
        rate: Frames a second where it is constant: then every duration is one tick and the time
            base is 1 / rate.
    """

    duration: I64Array
    time_base: Fraction
    rate: Fraction | None

    @property
    def total_s(self) -> Fraction:
        """Exact length."""
        return int(self.duration.sum()) * self.time_base


@dataclass(frozen=True, slots=True)
class Sequence:
    """The output's frames.

    Attributes:
        source: Number of the used source frame behind each output frame, shape (M,).
        pts: Times at which they are shown, in ticks of the clock's time base, from 0, shape (M,).
        end_pts: End of the last one.
    """

    source: I64Array
    pts: I64Array
    end_pts: int


def output_sequence(clock: SourceClock, audio_s: Fraction, length: LengthRule, extend: ExtendRule) -> Sequence:
    """Return the output's frames by rule.

    At a constant rate the count is ``round(duration * rate)``, halves up, and at least 1. At a
    variable rate frames keep their durations, and the last one ends with the wanted duration.

    Args:
        clock: The used source frames.
        audio_s: Exact duration of the new audio.
        length: ``audio``, ``video``, ``shortest`` or ``longest``.
        extend: Rule by which a source that is too short goes on.
    """
    lengths_s = audio_s, clock.total_s
    wanted_s = {
        "audio": audio_s,
        "video": clock.total_s,
        "shortest": min(lengths_s),
        "longest": max(lengths_s),
    }[length]
    if clock.rate is not None:
        count = max(1, round_half_up(wanted_s * clock.rate))
        return Sequence(extended(len(clock.duration), count, extend), np.arange(count, dtype=np.int64), count)
    wanted = max(1, round_half_up(wanted_s / clock.time_base))
    frames = len(clock.duration)
    count = frames
    while True:
        source = extended(frames, count, extend)
        duration = clock.duration[source]
        if extend == "hold":
            duration[frames:] = max(1, int(np.median(clock.duration)))
        ends = np.cumsum(duration)
        if ends[-1] >= wanted:
            break
        count *= 2
    # Every frame that begins before the end is shown; the last one until exactly then.
    starts = ends - duration
    kept = int(np.searchsorted(starts, wanted))
    return Sequence(source[:kept], starts[:kept], wanted)


def extended(frames: int, count: int, rule: ExtendRule) -> I64Array:
    """Return `count` source frame numbers: the source once, then as the rule says, shape (count,).

    ``pingpong`` runs back and forth without showing an end frame twice; ``loop`` starts again;
    ``hold`` repeats the last frame.
    """
    place = np.arange(count, dtype=np.int64)
    if rule == "loop":
        return place % frames
    if rule == "hold" or frames == 1:
        return np.minimum(place, frames - 1)
    period = 2 * (frames - 1)
    folded = place % period
    return np.where(folded < frames, folded, period - folded)
