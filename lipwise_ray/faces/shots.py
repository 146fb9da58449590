"""Shot cuts from PySceneDetect's content score on small pictures."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from scenedetect import FrameTimecode, StatsManager
from scenedetect.detectors import ContentDetector

from lipwise_ray.values import F32Array, I64Array, Span, U8Array

_SIDE_PX = 128
_ANY_RATE_HZ = 25.0  # the score does not depend on time


class ChangeMeter:
    """Measures how much each picture differs from the one before it."""

    def __init__(self) -> None:
        self._stats = StatsManager()
        self._detector = ContentDetector()
        self._detector.stats_manager = self._stats
        self._seen = 0

    def measure(self, image_bgr: U8Array) -> float:
        """Return the content score against the previous picture, 0 for the first; at most 255."""
        factor = min(1.0, _SIDE_PX / max(image_bgr.shape[:2]))
        width, height = (max(8, round(side * factor)) for side in (image_bgr.shape[1], image_bgr.shape[0]))
        tiny = cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)
        now = FrameTimecode(self._seen, _ANY_RATE_HZ)
        self._detector.process_frame(now, tiny)
        self._seen += 1
        if self._seen == 1:
            return 0.0
        score = self._stats.get_metrics(now, [ContentDetector.FRAME_SCORE_KEY])[0]
        return float(score or 0.0)


def shots(change: F32Array, cut_threshold: float) -> list[Span]:
    """Return the shots of a video.

    Args:
        change: Content score of every frame, shape (N,).
        cut_threshold: A frame with at least this score begins a shot.
    """
    starts: I64Array = np.flatnonzero(change >= cut_threshold).astype(np.int64)
    edges = [0, *(int(n) for n in starts if n > 0), len(change)]
    return [Span(a, b) for a, b in itertools.pairwise(edges)]
