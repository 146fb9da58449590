"""Colours of people: of the skin of their faces and of what they wear, by which those of one shot are told apart."""

from __future__ import annotations

import cv2
import numpy as np

from lipwise_ray.values import F32Array, F64Array, U8Array

COLOURS = 6
"""Lightness and the two axes of colour (CIELAB) of the face, and of what is below it."""

_PARTS = ((0.25, 0.3, 0.75, 0.75), (-0.3, 1.25, 1.3, 2.0))
"""Left, top, right and bottom of the face and of what is below it, in sides of the box."""

_FEWEST_PX = 2
_UNKNOWN = (np.nan,) * 3


def colours(image_bgr: U8Array, boxes: F32Array) -> F32Array:
    """Return the colours of people, shape (N, 6), nan of what the image does not show.

    Args:
        image_bgr: The image, shape (H, W, 3).
        boxes: Their faces in it: left, top, right, bottom, shape (N, 4).
    """
    found: list[tuple[float, ...]] = []
    for left, top, right, bottom in boxes.tolist():
        across, down = right - left, bottom - top
        for first_x, first_y, last_x, last_y in _PARTS:
            rows = slice(max(0, int(top + first_y * down)), max(0, int(top + last_y * down)))
            columns = slice(max(0, int(left + first_x * across)), max(0, int(left + last_x * across)))
            part = image_bgr[rows, columns]
            found.append(cv2.mean(part)[:3] if min(part.shape[:2]) >= _FEWEST_PX else _UNKNOWN)
    if not found:
        return np.zeros((0, COLOURS), np.float32)
    bgr = np.array(found, np.float32)[:, None] / 255
    lab = np.where(np.isnan(bgr), np.nan, cv2.cvtColor(bgr, cv2.COLOR_BGR2LAB))
    return lab.reshape(-1, COLOURS).astype(np.float32)


def mean_colours(seen: F32Array) -> F32Array:
    """Return the colours of somebody who was seen several times, shape (6,), nan of what never was.

    Args:
        seen: The colours each time, shape (N, 6).
    """
    known = ~np.isnan(seen)
    times = known.sum(axis=0)
    total = np.where(known, seen, 0).sum(axis=0, dtype=np.float64)
    return np.where(times > 0, total / np.maximum(times, 1), np.nan).astype(np.float32)


def difference(old: F32Array, new: F32Array) -> F64Array:
    """Return the differences of colours from those of one, shape (N,), nan where nothing of both is known.

    Mean square over face and clothing of the Euclidean distance in CIELAB (Delta E 1976).

    Args:
        old: Shape (N, 6).
        new: Shape (6,).
    """
    square = (old.astype(np.float64) - new).reshape(-1, 2, 3) ** 2
    part = square.sum(axis=2)
    known = ~np.isnan(part)
    total, parts = np.where(known, part, 0).sum(axis=1), known.sum(axis=1)
    return np.where(parts > 0, np.sqrt(total / np.maximum(parts, 1)), np.nan)
