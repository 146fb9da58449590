"""Shots: cuts by PySceneDetect's content score on small images, and dissolves.

The package itself is not loaded: as it is imported it runs `ffmpeg` and `mkvmerge`, on whatever terminal this is.
"""

from __future__ import annotations

import itertools
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from lipwise_ray.values import BoolArray, F32Array, I64Array, Span, U8Array

_SIDE_PX = 128

BLEND_FRAMES = 6
_CHANGED, _LEAST_SHARE, _OFF = 20, 0.03, 0.15
"""A frame of a dissolve is half of one before and half of one after, where these differ by so many levels; what moves
shows one of the two instead. So it is off by less than this share of the difference, in the median over these pixels.
"""

AROUND_FRAMES = 4
"""Frames before and after by whose changes a jump cut is told."""

_SPIKE, _STILL = 2.5, 1.0
"""A cut within a shot shows as a change of the image that is so many times that of the frames around it, and more than
the noise of a still image.
"""

_MOST_OTHERS = 0.75


def tiny_image(image_bgr: U8Array) -> U8Array:
    """Return an image as the meters take it: its longer side at most 128 pixels."""
    factor = min(1.0, _SIDE_PX / max(image_bgr.shape[:2]))
    width, height = (max(8, round(side * factor)) for side in (image_bgr.shape[1], image_bgr.shape[0]))
    return np.asarray(cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class ChangeMeter:
    """Measures how much each frame differs from the one before it.

    Source: PySceneDetect's ContentDetector with its default weights; the same numbers.
    """

    def __init__(self) -> None:
        self._before: npt.NDArray[np.int32] | None = None

    def measure(self, tiny_bgr: U8Array) -> float:
        """Return the content score against the previous frame, 0 for the first; at most 255."""
        now = cv2.cvtColor(tiny_bgr, cv2.COLOR_BGR2HSV).astype(np.int32)
        before, self._before = self._before, now
        if before is None:
            return 0.0
        changes = np.abs(now - before).sum(axis=(0, 1)) / float(now.shape[0] * now.shape[1])  # of the three channels
        return float(changes.sum() / len(changes))


class BlendMeter:
    """Tells which frames are blends of those around: frames of a dissolve, or of a fade."""

    def __init__(self) -> None:
        self._recent: deque[npt.NDArray[np.int32]] = deque(maxlen=2 * BLEND_FRAMES + 1)

    def measure(self, tiny_bgr: U8Array) -> bool:
        """Take the next image; tell whether the one `BLEND_FRAMES` before it is a blend, False while there is none."""
        self._recent.append(cv2.cvtColor(tiny_bgr, cv2.COLOR_BGR2GRAY).astype(np.int32))
        if len(self._recent) <= 2 * BLEND_FRAMES:
            return False
        old, middle, new = self._recent[0], self._recent[BLEND_FRAMES], self._recent[-1]
        change = np.abs(new - old)
        changed = change > _CHANGED
        if changed.mean() < _LEAST_SHARE:
            return False
        off = np.abs(2 * middle - old - new)
        return bool(np.median(off[changed] / change[changed]) < _OFF)


def shots(change: F32Array, is_blend: BoolArray, cut_threshold: float) -> list[Span]:
    """Return the shots of a video.

    Args:
        change: Content score of every frame, shape (N,).
        is_blend: Mask of the frames that are blends of those around, shape (N,): a dissolve is a cut in its middle.
        cut_threshold: A frame with at least this score begins a shot.
    """
    cuts = np.flatnonzero(change >= cut_threshold)
    edges = sorted({0, *cuts.tolist(), *_middles(is_blend), len(change)})
    return [Span(a, b) for a, b in itertools.pairwise(edges)]


def _middles(is_blend: BoolArray) -> list[int]:
    """Return the middle frames of dissolves; a few frames within one may look like none."""
    frames: I64Array = np.flatnonzero(is_blend).astype(np.int64)
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > BLEND_FRAMES) + 1)
    return [int(run[0] + run[-1] + 1) // 2 for run in runs if len(run)]


def jump_cuts(change: F32Array, start: int, stop: int) -> int:
    """Return the number of frames in ``[start, stop)`` at which the image changes at once, as a jump cut changes it.

    Their change is 2.5 times that of three quarters of the frames around, which a cut or two there do not raise, and
    which footage that shows each of its frames twice reaches all the time.

    Args:
        change: Difference of each frame from the one before, shape (F,).
        start: First frame.
        stop: Frame behind the last one.
    """
    around = change[max(0, start - 1 - AROUND_FRAMES) : stop + AROUND_FRAMES]
    return int((change[start:stop] > _SPIKE * np.quantile(around, _MOST_OTHERS) + _STILL).sum())


def is_spike(around: F32Array, between: F32Array) -> bool:
    """Tell whether the image changes at once between two frames, and not around them.

    Args:
        around: Changes of all frames from `AROUND_FRAMES` before the two to as many after, shape (N,).
        between: Those of the frames after the first of the two, up to the second.
    """
    return bool(between.max() > _SPIKE * np.median(around) + _STILL)
