"""Trimming of a video to its row's start and end."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.values import I64Array

_DECIMAL_SLACK_S = 0.001


def used_frames(index: FrameIndex, start_s: float, end_s: float | None) -> I64Array:
    """Return the source frames between two seconds, at least one.

    At a variable rate the one that is shown at the start is among them: a recorded screen stands still for long.

    Args:
        index: Frames of the source.
        start_s: From the first frame on.
        end_s: From the first frame on; None for the end of the source.

    Raises:
        InputError: There are none.
    """
    seconds = (np.append(index.pts, index.end_pts) - index.pts[0]) * float(index.time_base)
    begins, ends, slack_s = seconds[:-1], seconds[1:], _slack_s(index)
    inside = begins >= start_s - slack_s if index.rate is not None else ends > start_s + slack_s
    if end_s is not None:
        inside &= begins < end_s - slack_s
    used = np.flatnonzero(inside).astype(np.int64)
    if not len(used):
        asked = f"{start_s:g} to {'the end' if end_s is None else end_s}"
        raise InputError(
            "empty_range",
            "start, end",
            got=f"{asked} leaves nothing of a video of {seconds[-1]:.2f} s",
            do="Change the row's start and end",
        )
    return used


def shown_ticks(index: FrameIndex, used: I64Array, start_s: float, end_s: float | None) -> I64Array:
    """Return for how many ticks each used frame of a variable rate is shown: what of it lies between two seconds.

    Args:
        index: Frames of the source.
        used: Numbers of the used ones, shape (N,).
        start_s: From the first frame on.
        end_s: From the first frame on; None for the end of the source.
    """
    zero, tick_s = int(index.pts[0]), float(index.time_base)
    begins, ends = index.pts[used], np.append(index.pts[1:], index.end_pts)[used]
    is_cut = begins < zero + (start_s - _slack_s(index)) / tick_s
    begins = np.where(is_cut, zero + round(start_s / tick_s), begins)
    if end_s is not None:
        ends = np.minimum(ends, zero + round(end_s / tick_s))
    return np.maximum(ends - begins, 1)


def left_out_s(index: FrameIndex, zero_s: Fraction | None) -> Fraction:
    """Return the seconds of a video before the first frame of what was fetched of it.

    Args:
        index: Frames of what was fetched.
        zero_s: Time of the video's first frame on their clock; None where it is the first of these.
    """
    return Fraction(0) if zero_s is None else int(index.pts[0]) * index.time_base - zero_s


def _slack_s(index: FrameIndex) -> float:
    """Return by how much a start that is given as a rounded decimal may miss the frame that it means."""
    return min(_DECIMAL_SLACK_S, 0.25 / float(index.mean_rate))
