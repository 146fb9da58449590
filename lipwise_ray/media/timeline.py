"""Times at which the frames of an output are shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lipwise_ray.values import I64Array


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times at which output frames are shown: ticks of `time_base`, shape (N,), and the end of the last."""

    pts: I64Array
    end_pts: int
    time_base: Fraction

    @property
    def duration_s(self) -> Fraction:
        """Exact duration."""
        return (self.end_pts - int(self.pts[0])) * self.time_base
