"""Motion of a jaw between a filmed face and the new one, by where along the chin the two differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from lipwise_ray.faces.lower_face import LOWER_FACE, chin_arc, jaw_shares, lower_face_in
from lipwise_ray.faces.shape import downwards, eyes_px, views
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.values import BoolArray, F32Array, F64Array

_STEP = 0.02
_REACHES = np.arange(-0.24, 0.60, _STEP)
"""Steps by which a jaw may be lower than a typical one, in distances of the eyes."""

_ON_SKIN = -0.17
"""So high up there is skin in both faces."""

LOWEST, _HIGHEST = 0.46, 0.20
"""Distances by which a jaw may end lower than a typical one, and by which what moves may begin lower to be a jaw."""

_MOVED = 0.10
"""Of the logarithm of light: what is behind a chin differs more from it."""

_QUIET, _QUIET_STEPS = 0.06, 4
"""Below a jaw that moved a new face soon is as the filmed one again, but for less than the former. A network that does
not get the neck right tells nothing of jaws."""

_SIDES = 0.55
_PART_REACH = 0.4
"""A chin is looked at in three parts: how far out the outer ones' middles are, as `LOWER_FACE` has it, and how far each
reaches. A head that is turned a little more than it seems to be ends farther out on one side."""

_PARTS, _SAYS = (-_SIDES, 0.0, _SIDES), (1, 2, 1)
_FLOOR, _BLUR = 0.08, 0.02
_BLUR_REACH = 4.0
"""So many standard deviations around a pixel OpenCV's blur takes in."""


@dataclass(frozen=True, slots=True)
class JawMotion:
    """A jaw that is not where it was filmed.

    Attributes:
        lower: How much lower points of the lower face are than typical ones, where the jaw is lowest, filmed or new,
            in distances of the eyes, shape (M,).
        by: How far its two places are apart, in distances of the eyes.
    """

    lower: F64Array
    by: float


def jaw_motion(
    landmarks: F32Array, filmed: F32Array, new: F32Array, crop_to_shown: F64Array, aspect: float = 1.0
) -> JawMotion | None:
    """Return the motion of a jaw from a filmed face to the new one; None where none is seen.

    Args:
        landmarks: Shape (5, 2), in the shown frame.
        filmed: Crop of the filmed face, BGR in [0, 1], shape (S, S, 3).
        new: The same of the new one.
        crop_to_shown: Shape (2, 3).
        aspect: Width of a shown pixel over its height.
    """
    square = np.array([aspect, 1.0])
    (seen,) = views((landmarks * square)[None])
    to_crop = inverse(crop_to_shown)
    down = to_crop[:, :2] @ (downwards(seen) * eyes_px(seen) / square)
    arc = chin_arc()
    typical = lower_face_in(seen, aspect)[arc] @ to_crop[:, :2].T + to_crop[:, 2]
    places = typical + _REACHES[:, None, None] * jaw_shares()[arc, None] * down
    apart = _apart(filmed, new, places, max(_BLUR * float(np.linalg.norm(down)), 0.3))
    differs = [_median(apart[:, part]) for part in _chin_parts()]
    parts = [_ends(part) for part in differs]
    doubts = sum(
        says for part, ends, says in zip(differs, parts, _SAYS, strict=True) if ends is None and (part > _MOVED).any()
    )
    if sum(says for ends, says in zip(parts, _SAYS, strict=True) if ends) <= doubts:
        return None
    found = np.array([ends for ends in parts if ends])
    usual = float(np.median(found[:, 1]))
    lows = [ends[1] if ends else usual for ends in parts]
    lower = np.maximum(np.interp(LOWER_FACE[:, 0], _PARTS, lows), 0) * jaw_shares()
    return JawMotion(lower, float((found[:, 1] - found[:, 0]).mean()))


@lru_cache(maxsize=1)
def _chin_parts() -> tuple[BoolArray, ...]:
    """Return the points of the chin that each of its parts has, shape (K,) each."""
    across = LOWER_FACE[chin_arc(), 0]
    return tuple(np.asarray(np.abs(across - middle) <= _PART_REACH, np.bool_) for middle in _PARTS)


def _median(rows: F64Array) -> F64Array:
    """Return the median of the numbers of each row, shape (N,); NaN where there is none.

    Args:
        rows: Shape (N, K); some may be NaN.
    """
    ordered = np.sort(rows, axis=1)  # what is no number comes last
    count = np.isfinite(ordered).sum(axis=1)
    places = np.arange(len(rows))
    return (ordered[places, np.maximum(count - 1, 0) // 2] + ordered[places, count // 2 * (count > 0)]) / 2


def _ends(differs: F64Array) -> tuple[float, float] | None:
    """Return the reaches between which a part of a chin moved, None where it did not or nothing can be told.

    Args:
        differs: Difference of filmed and new face at each of `_REACHES`.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], differs > _MOVED, [False]]).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2)[::-1]:
        below = differs[stop : stop + _QUIET_STEPS]
        is_quiet = not len(below) or bool(np.isnan(below).any()) or float(below.min()) < _QUIET
        if _REACHES[first] <= _HIGHEST and _REACHES[stop - 1] < LOWEST and is_quiet:
            return float(_REACHES[first]) - _STEP / 2, float(_REACHES[stop - 1]) + _STEP / 2
    return None


def _apart(filmed: F32Array, new: F32Array, places: F64Array, sigma_px: float) -> F64Array:
    """Return the difference of two images' light at places, of its logarithm, shape (reaches, K); NaN outside of them.

    Args:
        filmed: BGR in [0, 1], shape (S, S, 3).
        new: The same.
        places: For each of `_REACHES` along the chin, shape (reaches, K, 2).
        sigma_px: Blur before.
    """
    before, after = (_light(image, places, sigma_px) for image in (filmed, new))
    apart = after - before
    skin = apart[_REACHES < _ON_SKIN]
    skin = skin[np.isfinite(skin[..., 0])]
    if len(skin):  # a new face that is lighter all over is given the old one's light later
        apart = apart - np.median(skin, axis=0)
    return np.asarray(np.abs(apart).max(axis=-1), np.float64)


def _light(image: F32Array, places: F64Array, sigma_px: float) -> F32Array:
    at = places.astype(np.float32) - np.float32(0.5)
    size, margin_px = len(image), math.ceil(_BLUR_REACH * sigma_px) + 1
    (left, top), (right, bottom) = at.min(axis=(0, 1)), at.max(axis=(0, 1))
    columns, rows = (
        slice(max(0, math.floor(low) - margin_px), min(size, math.ceil(high) + 1 + margin_px))
        for low, high in ((left, right), (top, bottom))
    )
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return np.full((*places.shape[:2], 3), np.nan, np.float32)
    # Blurred is what is looked at, and as much around it as that takes.
    soft = cv2.GaussianBlur(image[rows, columns], (0, 0), sigma_px)
    at -= np.array([columns.start, rows.start], np.float32)
    nothing = (float("nan"),) * 3
    found = cv2.remap(
        soft, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=nothing
    )
    return np.asarray(np.log(np.maximum(found, 0) + np.float32(_FLOOR)), np.float32)
