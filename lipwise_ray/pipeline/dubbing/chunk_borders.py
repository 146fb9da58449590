"""Borders of chunks, where little has to be decoded that is not shown."""

from __future__ import annotations

import numpy as np

from lipwise_ray.lipsync.drafts import LIGHT_RADIUS
from lipwise_ray.lipsync.jaw import JAW_RADIUS
from lipwise_ray.lipsync.occlusion import OCCLUSION_RADIUS
from lipwise_ray.lipsync.steadying import radius_of
from lipwise_ray.values import BoolArray, I64Array, Span

MOST_AROUND = LIGHT_RADIUS + JAW_RADIUS + OCCLUSION_RADIUS + radius_of("auto", 1.0)
"""Frames before a chunk that may be read with it, because what it shows depends on them."""

_MOVED = 4
"""A border is moved by a quarter of a chunk's length at most."""

_WORTH_MOVING = 2
"""It is moved where so many times less has to be decoded for it."""


def chunk_spans(source: I64Array, is_key: BoolArray, length: int) -> list[Span]:
    """Return chunks of about a length, each of which begins where decoding can begin shortly before.

    Args:
        source: Source frame that each output frame shows, shape (N,).
        is_key: Mask of the source frames at which decoding can begin, shape (M,).
        length: Output frames a chunk.
    """
    slack, total = length // _MOVED, len(source)
    starts = [0]
    while total - starts[-1] > length + slack:
        near = np.arange(starts[-1] + length - slack, starts[-1] + length + slack + 1)
        wasted = _read_ahead(source, is_key, near)
        best = int(np.lexsort((np.abs(near - near[slack]), wasted))[0])
        starts.append(int(near[best if wasted[best] <= wasted[slack] / _WORTH_MOVING else slack]))
    return [Span(start, stop) for start, stop in zip(starts, [*starts[1:], total], strict=True)]


def _read_ahead(source: I64Array, is_key: BoolArray, borders: I64Array) -> I64Array:
    """Return the numbers of source frames that have to be decoded before those that chunks from some borders read."""
    first = source[np.maximum(borders - MOST_AROUND, 0)]
    keys = np.flatnonzero(is_key)
    before = np.searchsorted(keys, first, side="right") - 1
    return first - np.where(before < 0, 0, keys[before])
