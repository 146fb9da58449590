"""Whole frames, enlarged by a network in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from lipwise_ray.media.orientation import UPRIGHT
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.region import Canvas, read_region
from lipwise_ray.values import F32Array, F64Array, Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.lipsync.restore import ModelFaces

_CONTEXT_PX = 16
"""Context of a tile past its own pixels, for the network to see and not to be shown."""

_FADE_PX = 16
"""Neighbouring tiles go over into each other over so many pixels."""


class FrameUpscaler:
    """Enlarges frames. Every tile has the same size, and every call of the network the same number of tiles.

    Args:
        model: The network.
        canvas: Geometry and colours of the frames.
    """

    def __init__(self, model: ModelFaces, canvas: Canvas) -> None:
        self._model = model
        self._stored = replace(canvas, orientation=UPRIGHT)  # tiles lie as the frame is stored
        size = Size(canvas.size.width * model.scale, canvas.size.height * model.scale)
        self.canvas = replace(canvas, size=size)
        """Of the enlarged frames."""
        self._large = replace(self.canvas, orientation=UPRIGHT)
        self._shown_px = model.size_px - 2 * _CONTEXT_PX

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame, `scale` times as wide and high."""
        size = self._large.size
        large = av.VideoFrame(size.width, size.height, self._large.format.name)
        for plane in range(self._large.format.planes):
            plane_array(large, plane)[:] = 0
        for plane in range(self._large.format.planes, len(large.planes)):  # networks know no alpha
            into = plane_array(large, plane)
            cv2.resize(plane_array(frame, plane), into.shape[::-1], dst=into, interpolation=cv2.INTER_LINEAR)
        places = list(self._places())
        batch = self._model.batch_faces
        for start in range(0, len(places), batch):
            part = places[start : start + batch]
            side = self._model.size_px
            tiles = np.zeros((batch, side, side, 3), np.float32)
            for number, (left, top) in enumerate(part):
                tiles[number] = read_region(frame, self._stored, _shift(left, top), side)
            for (left, top), tile in zip(part, self._model(tiles), strict=False):
                self._lay(large, left, top, tile)
        return large

    def _places(self) -> Iterator[tuple[int, int]]:
        """Yield left and top of every tile; neighbours share a strip, and the last ones reach past the edge."""
        step = self._shown_px - _FADE_PX
        for top in range(0, max(1, self._stored.size.height - _FADE_PX), step):
            for left in range(0, max(1, self._stored.size.width - _FADE_PX), step):
                yield left - _CONTEXT_PX, top - _CONTEXT_PX

    def _lay(self, large: VideoFrame, left: int, top: int, tile: F32Array) -> None:
        scale = self._model.scale
        context = _CONTEXT_PX * scale
        shown = tile[context:-context, context:-context]
        x, y = (left + _CONTEXT_PX) * scale, (top + _CONTEXT_PX) * scale
        fades = [_fade(len(shown), _FADE_PX * scale if place else 0) for place in (y, x)]
        write_region(large, self._large, _shift(x, y), shown, fades[0][:, None] * fades[1][None, :])


def _fade(length: int, over: int) -> F32Array:
    """Return weights that rise from 0 to 1 over the first samples."""
    if not over:
        return np.ones(length, np.float32)
    return np.clip((np.arange(length) + 0.5) / over, 0, 1).astype(np.float32)


def _shift(x: float, y: float) -> F64Array:
    return np.array([[1, 0, x], [0, 1, y]], np.float64)
