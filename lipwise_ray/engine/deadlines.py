"""How long a worker may show no progress."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.dubbing.tasks import Kind

_TICKING: frozenset[Kind] = frozenset({"scan", "listen", "recognise", "render", "score", "measure"})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a worker may show no progress: where frames are counted, and in tasks without frames."""

    frames_s: float = 300.0
    quiet_s: float = 3600.0

    def limit_s(self, kind: Kind) -> float:
        """Return what holds for a kind of task."""
        return self.frames_s if kind in _TICKING else self.quiet_s
