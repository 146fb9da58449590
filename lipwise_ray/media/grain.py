"""Grain of a film or a sensor, for pixels that were computed and have none."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from lipwise_ray.values import F32Array

_TILE_PX = 512
_SOFTNESS_PX = 0.6  # grain that went through a video encoder is a little soft
_FEWEST_PIXELS = 200
_LEAST = 1e-3
_MOST = 0.03
_EDGE, _CORE = 0.02, 0.6  # opacities: where skin of the source shows, and where none does


def with_grain(fresh: F32Array, old: F32Array, opacity: F32Array, peak: float, seed: int) -> F32Array:
    """Return new luma with as much fine noise as the old luma has around it.

    Args:
        fresh: New samples, shape (H, W).
        old: The frame's own, shape (H, W).
        opacity: Of the new ones, shape (H, W).
        peak: The largest sample value.
        seed: Equal numbers give equal grain; a frame that is shown again keeps its own.
    """
    around = (opacity > _EDGE) & (opacity < _CORE)
    core = opacity >= _CORE
    if min(int(around.sum()), int(core.sum())) < _FEWEST_PIXELS:
        return fresh
    missing = _noise(old)[around], _noise(fresh)[core]
    wanted, there = (1.4826 * float(np.median(np.abs(part))) for part in missing)
    level = np.sqrt(max(0.0, wanted**2 - there**2)) / _tile()[1]
    if level < _LEAST * peak:
        return fresh
    grain = np.float32(min(level, _MOST * peak)) * _grain(seed, *fresh.shape)
    return np.asarray(fresh + grain, np.float32)


def _noise(plane: F32Array) -> F32Array:
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), 1.0), np.float32)


@lru_cache(maxsize=1)
def _tile() -> tuple[F32Array, float]:
    """Return noise of deviation 1, and how much of that `_noise` would find."""
    white = np.random.Generator(np.random.PCG64(1)).standard_normal((_TILE_PX, _TILE_PX)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(white, (0, 0), _SOFTNESS_PX), np.float32)
    soft /= soft.std()
    return soft, float(1.4826 * np.median(np.abs(_noise(soft))))


def _grain(seed: int, height: int, width: int) -> F32Array:
    """Return another part of the tile for every seed, shape (height, width)."""
    top, left = np.random.Generator(np.random.PCG64(seed)).integers(_TILE_PX, size=2)
    rows, columns = (np.arange(height) + top) % _TILE_PX, (np.arange(width) + left) % _TILE_PX
    return _tile()[0][rows[:, None], columns[None, :]]
