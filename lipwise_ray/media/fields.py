"""Interlaced frames: which field comes first, keeping it, and making whole frames of fields."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import av
import av.error
from av.filter import Graph

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

FieldOrder = Literal["progressive", "tff", "bff"]
"""Whole frames, or two fields a frame, of which the top or the bottom one is shown first."""

# AVFieldOrder: of TB and BT the second letter is the field that is shown first.
_SHOWN_FIRST: dict[int, FieldOrder] = {2: "tff", 3: "bff", 4: "bff", 5: "tff"}
AV_FIELD_ORDER: dict[FieldOrder, int] = {"progressive": 1, "tff": 2, "bff": 3}
_TICK = Fraction(1, 1000)


def field_order(frame: VideoFrame, declared: int) -> FieldOrder:
    """Return the field order of a stream.

    Args:
        frame: Its first frame.
        declared: Order that the stream states, as FFmpeg's AVFieldOrder; some state it of frames alone.
    """
    if frame.interlaced_frame:
        return "tff" if _passes(frame, "eq(interlace_type,TOPFIRST)") else "bff"
    return _SHOWN_FIRST.get(declared, "progressive")


def _passes(frame: VideoFrame, expression: str) -> bool:
    graph = _graph(frame, ("select", f"'{expression}'"))
    graph.push(frame)
    return next(_pulled(graph), None) is not None


class FieldMarker:
    """Marks frames as interlaced, for encoders that look at each."""

    def __init__(self, order: FieldOrder) -> None:
        self._order = order
        self._graph: Graph | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame with the same samples."""
        self._graph = self._graph or _graph(frame, ("setfield", self._order))
        self._graph.push(frame)
        return next(_pulled(self._graph))


def deinterlaced(frames: Iterator[tuple[int, VideoFrame]], *, to_end: bool) -> Iterator[tuple[int, VideoFrame]]:
    """Yield whole frames in place of interlaced ones, each at its own time.

    A frame is made of its own first field and what lies around it, so one frame more on each side is needed than
    is yielded in full quality; the last one is yielded where the video ends.

    Args:
        frames: Consecutive frames and their numbers.
        to_end: The last frame is the video's last.

    Source: FFmpeg's filter bwdif (Weston three-field deinterlacing), one frame a frame.
    """
    graph: Graph | None = None
    shape: tuple[int, int, str] | None = None
    times: dict[int, tuple[int | None, Fraction | None]] = {}
    for number, frame in frames:
        if shape != (frame.width, frame.height, frame.format.name):
            yield from _restored(_flushed(graph), times)
            shape = frame.width, frame.height, frame.format.name
            graph = _graph(frame, ("bwdif", "mode=send_frame:parity=auto:deint=all"))
        assert graph is not None  # made for the first frame
        times[number] = frame.pts, frame.time_base
        frame.opaque = None  # the filter would hand on what are not its samples
        frame.pts, frame.time_base = number, _TICK
        graph.push(frame)
        frame.pts, frame.time_base = times[number]
        yield from _restored(_pulled(graph), times)
    if to_end:
        yield from _restored(_flushed(graph), times)


def _restored(
    frames: Iterator[VideoFrame], times: dict[int, tuple[int | None, Fraction | None]]
) -> Iterator[tuple[int, VideoFrame]]:
    for frame in frames:
        number = round((frame.pts or 0) * (frame.time_base or _TICK) / _TICK)
        frame.pts, frame.time_base = times.pop(number)
        yield number, frame


def _graph(frame: VideoFrame, *filters: tuple[str, str]) -> Graph:
    graph = Graph()
    node: FilterContext = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_TICK)
    for name, arguments in (*filters, ("buffersink", "")):
        following = graph.add(name, arguments or None)
        node.link_to(following)
        node = following
    graph.configure()
    return graph


def _flushed(graph: Graph | None) -> Iterator[VideoFrame]:
    if graph is None:
        return
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
