"""Clock of an original video beside its dubbed one: which moment of it stands behind each of the other's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.job_context import known_plan
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.values import F64Array

_MOST_PAIRS = 5_000
_ALIKE_S = 1e-3


@dataclass(frozen=True, slots=True)
class OriginalClock:
    """Moments of the dubbed video and of the original one.

    Attributes:
        fps: Nominal frames a second of the dubbed video.
        clock: ``[dubbed, original]`` in seconds, in the dubbed video's order; between two pairs both run evenly.
    """

    fps: float
    clock: list[tuple[float, float]]


def original_clock(store: Store, job_id: str, video_id: str) -> OriginalClock | None:
    """Return the clock of a job; None where the state has no plan, or no frame index, of it.

    Args:
        store: The state.
        job_id: The job's records.
        video_id: Hash of its video.
    """
    plan = known_plan(store, job_id)
    keys = (layout.index(video_id, salvage=salvage) for salvage in (False, True))  # salvaged videos have the latter
    index = next((found for key in keys if (found := load_file(store, key, FrameIndex.load)) is not None), None)
    if plan is None or index is None or int(plan.source.max(initial=0)) >= len(index):
        return None
    line = plan.timeline
    dubbed = (line.pts - line.pts[0]) * float(line.time_base)
    original = (index.pts[plan.source] - index.pts[0]) * float(index.time_base)
    kept = _corners(dubbed, original)
    pairs = [(round(float(dubbed[at]), 4), round(float(original[at]), 4)) for at in kept]
    return OriginalClock(float(plan.rate), pairs)


def _corners(dubbed: F64Array, original: F64Array) -> list[int]:
    """Return the frames between which both run evenly, the first and the last among them; at most so many."""
    if len(dubbed) < 3:  # noqa: PLR2004  # nothing lies between
        return list(range(len(dubbed)))
    slopes = np.diff(original) / np.maximum(np.diff(dubbed), 1e-9)
    bends = np.flatnonzero(np.abs(np.diff(slopes)) > _ALIKE_S) + 1
    kept = np.unique(np.concatenate([[0], bends, [len(dubbed) - 1]]))
    if len(kept) > _MOST_PAIRS:  # a rate that changes all the time: evenly spread moments tell enough
        kept = np.unique(np.linspace(0, len(dubbed) - 1, _MOST_PAIRS).astype(np.int64))
    return [int(at) for at in kept]
