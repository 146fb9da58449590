"""Deadlines of workers that show no progress."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.scheduler.task import AnyKind


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
