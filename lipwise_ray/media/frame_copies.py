"""Copies of decoded frames that may be written to, in memory that earlier copies have left."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.filter import Graph

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

    from lipwise_ray.media.region import Canvas

_FILTERS = (("sidedata", "delete"), ("setfield", "prog"), ("copy", None))
"""Filters of a copy. Side data and marks of fields are left behind: encoders would write captions, and code fields."""


class FrameCopies:
    """Copies frames of a canvas by FFmpeg, into its own pool.

    A new frame's memory comes from the system page by page, which costs more than to fill it. In a pool a copy's
    memory is used again once nobody refers to it: no stage, no encoder, no array.

    Args:
        canvas: Geometry and format of the frames.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._ends: tuple[Graph, FilterContext, FilterContext] | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return a copy that may be written to; the input stays untouched.

        Args:
            frame: Of the canvas's format, without planes on a device: FFmpeg's pool would have to wait for Python.
        """
        _, source, sink = self._ends = self._ends or _graph(self._canvas)
        source.push(frame)
        return cast("VideoFrame", sink.pull())


def _graph(canvas: Canvas) -> tuple[Graph, FilterContext, FilterContext]:
    """Return a graph that copies frames of a canvas, with both its ends."""
    graph = Graph()
    graph.threads = 1  # it has nothing to share out; once it has filters this cannot be changed
    shape = av.VideoFormat(canvas.format.name)
    source = node = graph.add_buffer(
        width=canvas.size.width, height=canvas.size.height, format=shape, time_base=Fraction(1, 1000)
    )
    for name, arguments in (*_FILTERS, ("buffersink", None)):
        following = graph.add(name, arguments)
        node.link_to(following)
        node = following
    graph.configure()
    return graph, source, node
