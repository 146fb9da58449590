"""Restored faces over time: the share of each that is shown, and detail that does not shimmer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from lipwise_ray.lipsync.sharpness import detail_of
from lipwise_ray.media.planes import FaceImage, HostImage
from lipwise_ray.media.region import scale_of
from lipwise_ray.values import F32Array, F64Array

Strength = float | Literal["auto"]
"""Share of the restored face, or ``auto``: as much as makes the mouth as sharp as the original one."""

_STRENGTH_RADIUS, DETAIL_RADIUS = 6, 2
"""Frames before and after a face, of the same track, whose sharpness and whose detail count."""

_LEAST_PX = 64
_FEWEST_PIXELS, _INSIDE = 64, 0.5
SHARES = (0.0, 0.25, 0.5, 1.0)
"""Shares of a restored face at which a mouth's edges are measured: they do not grow evenly with it."""

_LEAST_STEP = 0.1
_DETAIL_SHARE = 0.01
STILL_LEVELS = 8.0
"""Difference of coarse images from which on a pixel keeps its own detail, but for a third."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of a mouth, of `sharpness.detail_of`.

    Attributes:
        filmed: Of the original one.
        mixed: Of the new one, with each of `SHARES` of the restored face.
    """

    filmed: float
    mixed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FineDetail:
    """Luma of a restored face, in levels of 255: what is fine in it, and the rest; shape (S, S) each."""

    fine: FaceImage
    coarse: FaceImage


@dataclass(frozen=True, slots=True)
class Sample:
    """A restored face as the frames around it know it; what is not asked for is None."""

    edges: Edges | None
    detail: FineDetail | None


def radius_of(strength: Strength, smooth: float) -> int:
    """Return the number of frames before and after a face that its restoration looks at.

    Args:
        strength: Share of the restored face.
        smooth: Weight of the frames around in its detail.
    """
    return _STRENGTH_RADIUS if strength == "auto" else DETAIL_RADIUS if smooth else 0


def edges_of(
    filmed: F32Array, unrestored: F32Array, restored: F32Array, opacity: F32Array, to_shown: F64Array
) -> Edges | None:
    """Return the edges of a mouth at the size that it has in the frame; None where too little of it shows.

    Args:
        filmed: Luma of the original face in the restorer's alignment, shape (R, R).
        unrestored: The same of the new one, shape (S, S).
        restored: The same of the restored one, shape (R, R).
        opacity: Of the new face, shape (S, S).
        to_shown: The map from an image of side S to the shown frame.
    """
    side = min(len(restored), max(_LEAST_PX, round(len(opacity) * scale_of(to_shown))))
    before, without, whole, mask = (_resized(plane, side) for plane in (filmed, unrestored, restored, opacity))
    mouth = mask > _INSIDE
    if mouth.sum() < _FEWEST_PIXELS:
        return None
    shares = (np.float32(share) * (whole - without) for share in SHARES)
    mixed = (detail_of(np.asarray(without + more, np.float32), mouth).edges for more in shares)
    return Edges(detail_of(before, mouth).edges, tuple(mixed))


def _resized(plane: F32Array, side: int) -> F32Array:
    kernel = cv2.INTER_AREA if side < len(plane) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, (side, side), interpolation=kernel), np.float32)


def matched_strength(around: Sequence[tuple[int, Edges]]) -> float:
    """Return the share of the restored face with which a mouth is as sharp as the original one, and no sharper.

    The means of edges over the frames around decide, nearer ones more, so that it changes slowly.

    Args:
        around: Distance in frames, and edges there; the face itself is among them.
    """
    weight = np.array([_STRENGTH_RADIUS + 1 - abs(distance) for distance, _ in around], np.float64)
    edges = np.array([[one.filmed, *one.mixed] for _, one in around], np.float64)
    filmed, *mixed = weight @ edges / weight.sum()
    rising = np.maximum.accumulate(mixed) + _LEAST_STEP * np.array(SHARES)
    return float(np.interp(filmed, rising, SHARES))


def fine_detail(luma: F32Array, side_px: int) -> FineDetail:
    """Return the detail of a restored face that is finer than a hundredth of its side.

    Args:
        luma: Of the face, shape (S, S).
        side_px: Side of the result, at most S.
    """
    if len(luma) > side_px:
        luma = np.asarray(cv2.resize(luma, (side_px, side_px), interpolation=cv2.INTER_AREA), np.float32)
    coarse = np.asarray(cv2.GaussianBlur(luma, (0, 0), detail_blur_px(side_px)), np.float32)
    return FineDetail(HostImage(luma - coarse), HostImage(coarse))


def detail_blur_px(side_px: int) -> float:
    """Return the deviation of the blur that takes the fine detail of faces of a side away."""
    return max(1.0, _DETAIL_SHARE * side_px)


def near_weight(distance: int, smooth: float) -> float:
    """Return the weight of the detail of a frame so many frames away, where nothing moves.

    Args:
        distance: In frames.
        smooth: Weight of the frames around, from 0 to 1.
    """
    return smooth * (1 - abs(distance) / (DETAIL_RADIUS + 1))


def steadied(restored: F32Array, around: Sequence[tuple[int, FineDetail]], smooth: float) -> F32Array:
    """Return a restored face whose fine detail is averaged with that of the frames around.

    Faces are compared in the restorer's alignment, which goes with the head; where the coarse image differs, the mouth
    moved, and a pixel keeps its own detail.

    Args:
        restored: BGR in [0, 1], shape (S, S, 3).
        around: Distance in frames, and detail there; the face itself is among them.
        smooth: Weight of the frames around, from 0 to 1.
    """
    own = next(detail for distance, detail in around if distance == 0)
    fine, coarse = own.fine.host(), own.coarse.host()
    total, weights = fine.copy(), np.ones_like(fine)
    for distance, other in around:
        near = near_weight(distance, smooth)
        if distance and near > 0:
            weight = np.float32(near) * np.exp(-(((other.coarse.host() - coarse) / np.float32(STILL_LEVELS)) ** 2))
            total += weight * other.fine.host()
            weights += weight
    change = (total / weights - fine) / 255
    if len(change) < len(restored):
        change = cv2.resize(change, restored.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(restored + np.asarray(change)[..., None], 0, 1), np.float32)
