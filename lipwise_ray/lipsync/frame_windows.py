"""Windows of frames that a lip-sync network takes together, by the numbers of an output's frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from lipwise_ray.values import Span


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """Frames that a network takes in one call, because it looks from one to the other.

    Windows are picked by time, and the video is never resampled: each frame is drawn on its own image, by the audio at
    its exact time. LatentSync was trained on frames 40 ms apart, so a window takes those frames of the video that are
    nearest to that: each at 24 to 30 frames a second, every second one at 50 or 60, where a second window takes those
    between. To give frames the mouth of the nearest of 25 a second instead would hold a mouth while the head moves on,
    every sixth frame at 30 and every second one at 50.

    Attributes:
        length: Frames of a window; windows are always full.
        overlap: Frames that a window has in common with the next one: of these each shows the half that is nearer to
            its middle.
        rate_hz: Frames a second at which the network was trained; None where their distance in time does not matter.
    """

    length: int
    overlap: int
    rate_hz: Fraction | None

    def at(self, rate: Fraction) -> FrameWindows:
        """Return the windows of an output.

        Args:
            rate: Its frames a second.
        """
        apart = 1 if self.rate_hz is None else max(1, round(rate / self.rate_hz))
        return FrameWindows(self.length, self.overlap, apart)


FRAME_BY_FRAME = FrameWindow(1, 0, None)
"""Of networks that draw each frame for itself."""


@dataclass(frozen=True, slots=True)
class FrameWindows:
    """Windows of an output, which follow from the numbers of its frames alone.

    So every chunk knows them, wherever it begins, and a change of the plan at one time moves none at another. (By
    frames of a shot or a track they would need to be known as a whole, and would move with what is found at its start.)

    Attributes:
        length: Frames of a window.
        overlap: Frames that a window has in common with the next one.
        apart: Frames of the output from one of a window to its next; so many windows lie in each other.
    """

    length: int
    overlap: int
    apart: int

    @property
    def group_frames(self) -> int:
        """Frames that windows which lie in each other show together."""
        return (self.length - self.overlap) * self.apart

    def group_of(self, number: int) -> int:
        """Return the number of the group of windows that show a frame."""
        return number // self.group_frames

    def shown(self, group: int) -> Span:
        """Return the frames that a group of windows shows."""
        return Span(group * self.group_frames, (group + 1) * self.group_frames)

    def taken(self, group: int) -> Span:
        """Return the frames that a group of windows takes; some may lie before the output's first or after its last."""
        shown, before = self.shown(group), self.overlap // 2 * self.apart
        return Span(shown.start - before, shown.stop + self.overlap * self.apart - before)

    def of(self, group: int) -> Iterator[range]:
        """Yield the numbers of the frames of each window of a group."""
        taken = self.taken(group)
        for phase in range(self.apart):
            yield range(taken.start + phase, taken.stop, self.apart)

    def around(self, span: Span) -> Span:
        """Return the frames that all windows take which show some frames."""
        return Span(self.taken(self.group_of(span.start)).start, self.taken(self.group_of(span.stop - 1)).stop)
