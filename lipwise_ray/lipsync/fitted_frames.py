"""Frames of a video that is made longer or shorter: some are shown twice or left out, evenly, where it shows least."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipwise_ray.lipsync.lengths import Sequence, SourceClock
from lipwise_ray.lipsync.time_map import TimeMap
from lipwise_ray.values import BoolArray, I64Array, round_half_up

AT_CUT = 0
"""Cost of a frame beside a cut. In others it is 1, and 1 more for each voice that is heard."""

_BLOCK_S = 1.0
"""The pace is even from one stretch of this length to the next; within it, places are chosen."""


def fitted_sequence(clock: SourceClock, wanted: int, cost: I64Array) -> Sequence:
    """Return the output's frames of a video that is made as long as something else.

    At a constant rate frames are shown twice or left out; at a variable rate every frame is shown for longer or less
    long, and frames are left out only where there are fewer ticks than frames.

    Args:
        clock: The used source frames.
        wanted: Length in ticks of the clock, at least 1.
        cost: How much it is seen that a frame is shown twice or left out, shape (N,).
    """
    frames = len(clock.duration)
    if clock.rate is not None:
        block = max(1, round(float(clock.rate) * _BLOCK_S))
        return Sequence(fitted(frames, wanted, cost, block), np.arange(wanted, dtype=np.int64), wanted)
    block = max(1, round(frames / float(clock.total_s) * _BLOCK_S))
    source = fitted(frames, min(frames, wanted), cost, block)
    duration = clock.duration[source]
    starts, total = np.cumsum(duration) - duration, int(duration.sum())
    order = np.arange(len(source), dtype=np.int64)
    # Exact for any number of ticks: they may be nanoseconds.
    scaled = np.array([(2 * int(start) * wanted + total) // (2 * total) for start in starts], np.int64)
    rising = np.maximum.accumulate(scaled - order) + order  # each frame for one tick at least
    return Sequence(source, np.minimum(rising, wanted - len(source) + order), wanted)


def moved_sequence(clock: SourceClock, time_map: TimeMap, cost: I64Array) -> Sequence:
    """Return the output's frames of a video of which parts are shown for longer or less long.

    At a constant rate frames are shown twice or left out within those parts, and all others follow one another as they
    were; at a variable rate each frame is shown at its moved time, and one that would be shown for no tick is left out.

    Args:
        clock: The used source frames.
        time_map: Times of the output by those of the clock.
        cost: How much it is seen that a frame is shown twice or left out, shape (N,).
    """
    wanted = max(1, round_half_up(time_map.moved_s(clock.total_s) / clock.time_base))
    if clock.rate is None:
        begins = np.cumsum(clock.duration) - clock.duration
        starts = np.append(time_map.moved_ticks(begins, clock.time_base), wanted)
        is_shown = np.diff(starts) > 0
        return Sequence(np.flatnonzero(is_shown).astype(np.int64), starts[:-1][is_shown], wanted)
    block = max(1, round(float(clock.rate) * _BLOCK_S))
    parts = [
        start + fitted(stop - start, count, cost[start:stop], block)
        for start, stop, count in _shown_parts(len(clock.duration), clock.rate, time_map, wanted)
        if count
    ]
    return Sequence(np.concatenate(parts), np.arange(wanted, dtype=np.int64), wanted)


def _shown_parts(frames: int, rate: Fraction, time_map: TimeMap, wanted: int) -> list[tuple[int, int, int]]:
    """Return the parts of a video between the knots of a time map, and how many frames the output shows of each.

    What follows a part is moved by whole frames, the nearest to its exact time: so errors do not add up, and between
    parts that are stretched every frame is shown once. A part of no frame leaves its change to the next.

    Args:
        frames: Number of source frames.
        rate: Frames a second.
        time_map: The map.
        wanted: Frames of the output.

    Returns:
        ``(start, stop, count)`` of each.
    """
    parts: list[tuple[int, int, int]] = []
    start = reached = 0
    end_s = frames / rate
    for video_s, output_s in (*time_map.knots, (end_s, time_map.moved_s(end_s))):
        stop = min(round_half_up(video_s * rate), frames)
        if stop <= start:
            continue
        moved = wanted if stop == frames else stop + round_half_up((output_s - video_s) * rate)
        moved = min(max(moved, reached), wanted)
        parts.append((start, stop, moved - reached))
        start, reached = stop, moved
    return parts


def fitted(frames: int, count: int, cost: I64Array, block: int) -> I64Array:
    """Return `count` source frame numbers, none smaller than the one before, shape (count,).

    Every block of frames gets its even part of what is repeated or left out; within it the cheapest frames are taken,
    no two side by side while that can be avoided.

    Args:
        frames: Number of source frames, at least 1.
        count: Number wanted, at least 1.
        cost: Of taking a frame, shape (frames,).
        block: Frames a block.
    """
    whole, rest = divmod(count, frames)
    times = np.full(frames, max(1, whole), np.int64)
    taken = _taken(frames, rest if whole else frames - count, cost, block)
    times[taken] += 1 if whole else -1
    return np.repeat(np.arange(frames, dtype=np.int64), times)


def _taken(frames: int, count: int, cost: I64Array, block: int) -> BoolArray:
    """Return the mask of `count` frames to take, as many in each block as is even, shape (frames,)."""
    taken = np.zeros(frames, np.bool_)
    blocks = max(1, frames // block)
    for number in range(blocks):
        start, stop = (frames * edge // blocks for edge in (number, number + 1))
        quota = sum(sign * round_half_up(Fraction(edge * count, frames)) for edge, sign in ((stop, 1), (start, -1)))
        for price in np.unique(cost[start:stop]):
            _take(taken, start + np.flatnonzero(cost[start:stop] == price), quota - int(taken[start:stop].sum()))
        _take(taken, np.arange(start, stop), quota - int(taken[start:stop].sum()), are_apart=False)
    return taken


def _take(taken: BoolArray, candidates: I64Array, count: int, *, are_apart: bool = True) -> None:
    """Take up to `count` of some frames, evenly among them.

    Args:
        taken: Mask of the frames that are taken; those that are now are marked.
        candidates: Numbers of the frames to choose from, rising.
        count: Number to take; fewer where there are not so many.
        are_apart: None is taken beside another.
    """
    even = candidates[(2 * np.arange(count) + 1) * len(candidates) // (2 * count)] if count > 0 else candidates[:0]
    for frame in (*even, *candidates):
        if count <= 0:
            return
        around = taken[max(0, frame - 1) : frame + 2] if are_apart else taken[frame : frame + 1]
        if not around.any():
            taken[frame] = True
            count -= 1
