"""A window of a job's output: a few seconds that are rendered as the whole would be, for a preview of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field

from lipwise_ray.errors import InputError
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.state.shapes import STRICT, Count, Maybe
from lipwise_ray.values import Span

_SLACK_S = 1e-6
_MOST_S = 1e6


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of an output, on its own clock.

    Attributes:
        at_s: The frame that is shown at this second is the first one.
        seconds: Frames that begin within so many seconds follow; with 0 none does.
        looked: ``[start, stop)`` of the source frames around which alone faces are looked for; None for everywhere.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    at_s: Annotated[float, Field(ge=0, le=_MOST_S)]
    seconds: Annotated[float, Field(ge=0, le=_MOST_S)]
    looked: Maybe[tuple[Count, Count]] = None

    def frames(self, timeline: Timeline) -> Span:
        """Return its frames.

        Args:
            timeline: Times of the whole output.

        Raises:
            InputError: It begins after the output's end.
        """
        duration_s, tick_s = float(timeline.duration_s), float(timeline.time_base)
        if self.at_s >= duration_s - _SLACK_S:
            raise InputError(
                "empty_range",
                "--at",
                got=f"{self.at_s:g} s is past the end of an output of {duration_s:.2f} s",
                do="Choose an earlier time",
            )
        begins = np.asarray(timeline.pts * tick_s + _SLACK_S, np.float64)
        first = int(np.searchsorted(begins, self.at_s + 2 * _SLACK_S, side="right")) - 1
        stop = int(np.searchsorted(begins, self.at_s + self.seconds, side="left"))
        return Span(max(0, first), max(stop, max(0, first) + 1))

    def chunks(self, timeline: Timeline) -> list[Span]:
        """Return the whole output cut at its borders.

        Args:
            timeline: Times of the whole output.
        """
        shown, frames = self.frames(timeline), len(timeline.pts)
        pieces = (Span(0, shown.start), shown, Span(shown.stop, frames))
        return [piece for piece in pieces if len(piece)]
