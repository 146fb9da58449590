"""Shot cuts by PySceneDetect's content score on small images.

The package itself is not loaded: as it is imported it runs `ffmpeg` and `mkvmerge`, on whatever terminal this is.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from lipwise_ray.values import F32Array, I64Array, Span, U8Array

_SIDE_PX = 128


class ChangeMeter:
    """Measures how much each frame differs from the one before it.

    Source: PySceneDetect's ContentDetector with its default weights; the same numbers.
    """

    def __init__(self) -> None:
        self._before: npt.NDArray[np.int32] | None = None

    def measure(self, image_bgr: U8Array) -> float:
        """Return the content score against the previous frame, 0 for the first; at most 255."""
        factor = min(1.0, _SIDE_PX / max(image_bgr.shape[:2]))
        width, height = (max(8, round(side * factor)) for side in (image_bgr.shape[1], image_bgr.shape[0]))
        tiny = cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)
        now = cv2.cvtColor(tiny, cv2.COLOR_BGR2HSV).astype(np.int32)
        before, self._before = self._before, now
        if before is None:
            return 0.0
        changes = np.abs(now - before).sum(axis=(0, 1)) / float(width * height)  # of hue, saturation, value
        return float(changes.sum() / len(changes))


def shots(change: F32Array, cut_threshold: float) -> list[Span]:
    """Return the shots of a video.

    Args:
        change: Content score of every frame, shape (N,).
        cut_threshold: A frame with at least this score begins a shot.
    """
    starts: I64Array = np.flatnonzero(change >= cut_threshold).astype(np.int64)
    edges = [0, *(int(n) for n in starts if n > 0), len(change)]
    return [Span(a, b) for a, b in itertools.pairwise(edges)]
