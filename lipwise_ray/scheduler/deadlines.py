"""Deadlines of workers that show no progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lipwise_ray.scheduler.entry import Lease
from lipwise_ray.scheduler.task import AnyKind

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Longest time that a worker may show no progress.

    Attributes:
        frames_s: Where frames are counted, in seconds.
        quiet_s: In tasks without frames, in seconds.
    """

    frames_s: float = 300.0
    quiet_s: float = 3600.0

    def limit_s(self, kind: AnyKind) -> float:
        """Return the deadline of a kind of task."""
        return self.frames_s if kind.counts_frames else self.quiet_s


@dataclass(slots=True)
class StallWatch:
    """Finds workers that show no progress.

    Asked after every step, it looks a few times a second: there may be a thousand workers.

    Attributes:
        deadlines: When a worker counts as stuck.
    """

    deadlines: Deadlines
    _looked_s: float = -math.inf

    def stalled(
        self, leases: Mapping[str, Lease], frames_done: Callable[[], Mapping[str, int]], now_s: float
    ) -> Iterator[tuple[Lease, float]]:
        """Yield the leases whose workers are to be ended, each once, and the deadline that passed.

        Args:
            leases: The busy workers', by name.
            frames_done: Asks for the frames that each has finished in its task.
            now_s: Seconds of the dispatcher's clock.
        """
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s, frames = now_s, frames_done()
        for worker, lease in leases.items():
            stood_still_s = lease.stands_still(frames.get(worker, 0), now_s)
            limit_s = self.deadlines.limit_s(lease.entry.task.kind)
            if stood_still_s > limit_s and not lease.killed:
                lease.killed = True
                yield lease, limit_s
