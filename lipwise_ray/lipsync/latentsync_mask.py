"""The part of a crop that LatentSync draws anew."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from lipwise_ray.values import F32Array, U8Array

_SIDE_PX = 256
_CHEEKS = slice(95, 128)
_CHEEK_COLUMNS = ((9, 77), (178, 246))
"""Beside the nose, which is kept; first and last columns."""

_LOWER_ROWS = (128, 160, 176, 192, 224, 240, 242)
_LOWER_FIRST = (9, 11, 15, 26, 64, 104, 131)
_LOWER_LAST = (247, 245, 240, 230, 196, 160, 152)
"""First and last columns at some rows from the nose to the chin, and straight lines between."""

_CLEAR_PX, _FADE_SHARE = 2, 20


@lru_cache(maxsize=4)
def kept_pixels(side_px: int) -> F32Array:
    """Return 1 where LatentSync is shown the face and 0 where it draws it, shape (side_px, side_px).

    Args:
        side_px: Side of the crop; at another than 256 the edges are resampled, and a few values lie between or beyond.

    Source: the published mask.png of LatentSync, measured row by row; drawn from those numbers.
    """
    mask = np.full((_SIDE_PX, _SIDE_PX), 255, np.uint8)
    for first, last in _CHEEK_COLUMNS:
        mask[_CHEEKS, first : last + 1] = 0
    rows = np.arange(_LOWER_ROWS[0], _LOWER_ROWS[-1] + 1)
    firsts, lasts = (np.rint(np.interp(rows, _LOWER_ROWS, ends)).astype(int) for ends in (_LOWER_FIRST, _LOWER_LAST))
    for row, first, last in zip(rows, firsts, lasts, strict=True):
        mask[row, first : last + 1] = 0
    return _resized(mask, side_px)


def _resized(mask: U8Array, side_px: int) -> F32Array:
    if side_px != _SIDE_PX:
        mask = np.asarray(cv2.resize(mask, (side_px, side_px), interpolation=cv2.INTER_LANCZOS4), np.uint8)
    kept = np.asarray(mask / 255, np.float32)
    kept.flags.writeable = False
    return kept


@lru_cache(maxsize=4)
def drawn_opacity(side_px: int) -> F32Array:
    """Return the opacity of what LatentSync draws over the filmed crop, shape (side_px, side_px) in [0, 1].

    It is 0 from where the network is shown the face on, so that no edge is seen between what was drawn and what is
    filmed.

    Args:
        side_px: Side of the crop.

    Source: LatentSync utils/affine_transform.py, restore_img; differs in: it is done in the crop, not in the frame.
    """
    hidden = (kept_pixels(side_px) < 0.5).astype(np.float32)  # noqa: PLR2004  # resampled edges are halved
    fade_px = int(hidden.sum() ** 0.5) // _FADE_SHARE
    for size in (_CLEAR_PX, 2 * fade_px):
        hidden = cv2.erode(hidden, np.ones((size, size), np.uint8))
    width = 2 * fade_px + 1
    opacity = np.clip(cv2.GaussianBlur(hidden, (width, width), 0), 0, 1).astype(np.float32)
    opacity.flags.writeable = False
    return opacity
