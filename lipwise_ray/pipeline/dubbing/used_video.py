"""The part of a video that a job uses, on the clock of its output."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipwise_ray.lipsync.lengths import SourceClock
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.trim import shown_ticks
from lipwise_ray.settings.model import SourceSettings
from lipwise_ray.values import I64Array, round_half_up

_LEAD_SLACK = Fraction(1, 2)  # frames


@dataclass(frozen=True, slots=True)
class UsedVideo:
    """The used frames of a source.

    Attributes:
        clock: When they are shown; at a variable rate the first is shown until the source starts to move.
        lead: At a constant rate, the frames for which the first one is held before that.
    """

    clock: SourceClock
    lead: int = 0

    @property
    def held(self) -> SourceClock:
        """The clock with the first frame as often as it is shown."""
        if not self.lead:
            return self.clock
        duration = np.ones(len(self.clock.duration) + self.lead, np.int64)
        return SourceClock(duration, self.clock.time_base, self.clock.rate)


def used_video(
    index: FrameIndex,
    used: I64Array,
    source: SourceSettings,
    *,
    is_still: bool,
    lead_s: Fraction,
    start_s: float,
    end_s: float | None,
) -> UsedVideo:
    """Return the used part of a source.

    Args:
        index: Frames of the source.
        used: Numbers of the used ones, shape (N,).
        source: Preparation of the source.
        is_still: The source is a still image.
        lead_s: Seconds by which the first frame is shown later than the source's own audio.
        start_s: First second of the source that is used.
        end_s: Second at which use of the source ends, None for its end.
    """
    rate = Fraction(source.still_rate) if is_still else index.rate
    leads = int(used[0]) == 0 and not is_still and not source.static
    if rate is not None:
        clock = SourceClock(np.ones(len(used), np.int64), 1 / rate, rate)
        return UsedVideo(clock, round_half_up(lead_s * rate) if leads and lead_s * rate >= _LEAD_SLACK else 0)
    duration = shown_ticks(index, used, start_s, end_s)
    if leads and start_s == 0:
        duration[0] += round_half_up(lead_s / index.time_base)
    return UsedVideo(SourceClock(duration, index.time_base, None))
