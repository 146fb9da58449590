"""Edit list from the source's clock to the output's."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.values import BoolArray, I64Array

_DRIFT_S = 0.02
"""Half a frame: by so much times of the source may be off within a stretch that is shown at another speed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of the source that the output shows once, forwards and at its own speed.

    Attributes:
        start_s: Start, on the clock of the source's container.
        stop_s: End there.
        shift_s: Added to a time of the source it gives the time of the output.
    """

    start_s: Fraction
    stop_s: Fraction
    shift_s: Fraction


def edits_of(index: FrameIndex, source: I64Array, timeline: Timeline) -> tuple[Edit, ...]:
    """Return the edit list of an output, up to where its frames are repeated.

    What extends a short video (backward, again from the start, or standing still) shows no new time of the source, so
    nothing that goes with that time belongs there. A frame that is shown twice on the way ends a stretch; where frames
    are shown for longer or less long, one ends as soon as times would be off by `_DRIFT_S`.

    Args:
        index: Frames of the source.
        source: Source frame of each output frame, shape (N,).
        timeline: Presentation time of each output frame.

    Returns:
        Rising stretches; several where frames were left out, shown twice or at another speed, none for a still image.
    """
    steps = np.diff(source)
    moving = np.flatnonzero(steps > 0)
    if not len(moving):
        if len(source) > 1:
            return ()
        first, last = 0, 0
    else:
        first = int(moving[0])
        backward = np.flatnonzero(steps < 0)
        turn = int(backward[0]) if len(backward) else len(source) - 1
        last = int(moving[moving < turn][-1]) + 1  # what stands still until then shows nothing new
    breaks = (steps[first:last] != 1) | _drifts(index, source, timeline, first, last)
    starts = [first, *(first + 1 + np.flatnonzero(breaks)).tolist()]
    ends = np.append(index.pts[1:], index.end_pts)
    edits: list[Edit] = []
    for start, stop in zip(starts, [*starts[1:], last + 1], strict=True):
        begin_s = int(index.pts[source[start]]) * index.time_base
        sure = min(start + 1, stop - 1)  # the first may have been shown for longer, or for a part of its time
        since_s = int(timeline.pts[sure] - timeline.pts[0]) * timeline.time_base
        shift_s = since_s - int(index.pts[source[sure]]) * index.time_base
        # Before the first frame that moves the output shows it standing still, while the audio already runs.
        edits.append(Edit(begin_s if edits else -shift_s, int(ends[source[stop - 1]]) * index.time_base, shift_s))
    over_s = timeline.duration_s - edits[-1].shift_s
    return (*edits[:-1], Edit(edits[-1].start_s, min(edits[-1].stop_s, over_s), edits[-1].shift_s))


def _drifts(index: FrameIndex, source: I64Array, timeline: Timeline, first: int, last: int) -> BoolArray:
    """Return the mask of next frames before which the output's clock has drifted, shape (last - first,).

    Args:
        index: Frames of the source.
        source: Source frame of each output frame, shape (N,).
        timeline: Presentation time of each output frame.
        first: The output's first frame that is looked at.
        last: The last one.
    """
    shown_s = (timeline.pts[first : last + 1] - timeline.pts[0]) * float(timeline.time_base)
    filmed_s = (index.pts[source[first : last + 1]] - index.pts[0]) * float(index.time_base)
    off_s = shown_s - filmed_s
    off_s[0] = off_s[min(1, len(off_s) - 1)]  # the first may have been shown for longer, or for a part of its time
    steps_s = np.diff(off_s)
    is_continuous = np.diff(source[first : last + 1]) == 1
    drift_s = np.cumsum(np.where(is_continuous, steps_s, 0.0))
    breaks = np.diff(np.floor(np.append(0.0, drift_s) / _DRIFT_S + 0.5)) != 0
    return np.asarray(breaks, np.bool_)


def in_output(edits: Sequence[Edit], start_s: Fraction, stop_s: Fraction) -> tuple[Fraction, Fraction] | None:
    """Return the output's span of ``[start_s, stop_s)`` of the source's clock, None where nothing of it is left.

    What spans a stretch that was left out is shorter by it; a moment (equal times) is kept where it is shown.
    """
    after = bisect.bisect_right(edits, start_s, key=lambda edit: edit.stop_s)
    if start_s == stop_s:
        is_shown = after < len(edits) and edits[after].start_s <= start_s
        moment = start_s + edits[after].shift_s if is_shown else Fraction(0)
        return (moment, moment) if is_shown else None
    before = bisect.bisect_left(edits, stop_s, key=lambda edit: edit.start_s) - 1
    if after > before:
        return None
    first, last = edits[after], edits[before]
    return max(start_s, first.start_s) + first.shift_s, min(stop_s, last.stop_s) + last.shift_s
