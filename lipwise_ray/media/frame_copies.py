"""Copies of decoded frames that may be written to, in memory that earlier copies have left."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.filter import Graph

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

    from lipwise_ray.media.frames import FrameRecipe

_FILTERS = (("sidedata", "delete"), ("setfield", "prog"), ("copy", None))
"""Filters of a copy. Side data and marks of fields are left behind: encoders would write captions, and code fields."""


class FrameCopies:
    """Prepares decoded frames by a recipe; those that stay as they are are copied by FFmpeg, into its own pool.

    A new frame's memory comes from the system page by page, which costs more than to fill it. In a pool a copy's
    memory is used again once nobody refers to it: no stage, no encoder, no array.

    Args:
        recipe: Steps that prepare the frames.
    """

    def __init__(self, recipe: FrameRecipe) -> None:
        self._recipe = recipe
        self._ends: tuple[Graph, FilterContext, FilterContext] | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame of the canvas's format that may be written to; the input stays untouched."""
        # Planes that a frame has on a device are Python's, which FFmpeg's pool would have to wait for.
        if not self._recipe.keeps(frame) or frame.opaque is not None:
            return self._recipe.apply(frame)
        _, source, sink = self._ends = self._ends or _graph(self._recipe)
        source.push(frame)
        return cast("VideoFrame", sink.pull())


def _graph(recipe: FrameRecipe) -> tuple[Graph, FilterContext, FilterContext]:
    """Return a graph that copies frames of a recipe's canvas, with both its ends."""
    graph, canvas = Graph(), recipe.canvas
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
