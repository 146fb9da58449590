"""How long the output is, and which source frame stands behind every output frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from lipwise_ray.values import I64Array, round_half_up

LengthRule = Literal["audio", "video", "shortest"]
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
        pts: When each is shown, in ticks of the clock's time base, from 0, shape (M,).
        end_pts: End of the last one.
    """

    source: I64Array
    pts: I64Array
    end_pts: int


def output_sequence(clock: SourceClock, audio_s: Fraction, length: LengthRule, extend: ExtendRule) -> Sequence:
    """Return the output's frames by rule.

    At a constant rate the count is ``round(duration * rate)``, halves up, and at least 1. At a
    variable rate it is the count whose end comes nearest to the wanted duration.

    Args:
        clock: The used source frames.
        audio_s: Exact duration of the new sound.
        length: ``audio``, ``video`` or ``shortest``.
        extend: How a source that is too short goes on.
    """
    wanted_s = {"audio": audio_s, "video": clock.total_s, "shortest": min(audio_s, clock.total_s)}[length]
    if clock.rate is not None:
        count = max(1, round_half_up(wanted_s * clock.rate))
        return Sequence(extended(len(clock.duration), count, extend), np.arange(count, dtype=np.int64), count)
    wanted = float(wanted_s / clock.time_base)
    # Every pass over the source lasts at least one tick a frame, so this bound is never short.
    passes = int(wanted // int(clock.duration.sum())) + 2
    source = extended(len(clock.duration), passes * len(clock.duration) + 1, extend)
    if extend == "hold" and wanted > int(clock.duration.sum()):
        typical = int(np.median(clock.duration))
        more = int((wanted - int(clock.duration.sum())) // typical) + 2
        source = extended(len(clock.duration), len(clock.duration) + more, extend)
        duration = clock.duration[source]
        duration[len(clock.duration) :] = typical
    else:
        duration = clock.duration[source]
    ends = np.cumsum(duration)
    after = int(np.searchsorted(ends, wanted))
    if after > 0 and (after == len(ends) or wanted - ends[after - 1] < ends[after] - wanted):
        after -= 1
    count = after + 1
    pts = np.concatenate([np.zeros(1, np.int64), ends[: count - 1]])
    return Sequence(source[:count], pts, int(ends[count - 1]))


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
