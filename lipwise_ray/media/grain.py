"""Grain of a film or a sensor, for pixels that were computed and have none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from lipwise_ray.values import BoolArray, F32Array

_TILE_PX = 512
_SOFTNESS_PX = 0.6  # grain that went through a video encoder is a little soft
_FEWEST_PIXELS = 200
_LEAST = 1e-3
_MOST = 0.03
_EDGE, _CORE = 0.02, 0.6  # opacities: where skin of the source shows, and where none does


@dataclass(frozen=True, slots=True)
class Grain:
    """The grain that new pixels of a frame are to have.

    Attributes:
        seed: Equal numbers give equal grain; a frame that is shown again keeps its own.
        noise: Noise that `noise_of` found around them.
    """

    seed: int
    noise: float


def noise_of(plane: F32Array, where: BoolArray) -> float | None:
    """Return the deviation of the fine noise of some pixels, None where there are too few to tell.

    Args:
        plane: Samples, shape (H, W).
        where: Mask of the pixels, shape (H, W).
    """
    if int(where.sum()) < _FEWEST_PIXELS:
        return None
    return 1.4826 * float(np.median(np.abs(_noise(plane)[where])))


def around(opacity: F32Array) -> BoolArray:
    """Return the rim at which a mask fades out, so that mostly the frame's own pixels show."""
    return (opacity > _EDGE) & (opacity < _CORE)


def with_grain(fresh: F32Array, opacity: F32Array, peak: float, grain: Grain, top: int, left: int) -> F32Array:
    """Return new luma with as much fine noise as there is around it.

    Args:
        fresh: New samples, shape (H, W).
        opacity: Of the new ones, shape (H, W).
        peak: The largest sample value.
        grain: Grain that they are to have.
        top: Row of the first sample in its plane: layers over one another have the same grain.
        left: Its column.
    """
    present_noise = noise_of(fresh, opacity > _CORE * float(opacity.max(initial=0)))
    if present_noise is None:
        return fresh
    level = np.sqrt(max(0.0, grain.noise**2 - present_noise**2)) / _tile()[1]
    if level < _LEAST * peak:
        return fresh
    added = np.float32(min(level, _MOST * peak)) * _pattern(grain.seed, top, left, *fresh.shape)
    return np.asarray(fresh + added, np.float32)


def _noise(plane: F32Array) -> F32Array:
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), 1.0), np.float32)


@lru_cache(maxsize=1)
def _tile() -> tuple[F32Array, float]:
    """Return noise of deviation 1, and how much of that `_noise` would find."""
    white = np.random.Generator(np.random.PCG64(1)).standard_normal((_TILE_PX, _TILE_PX)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(white, (0, 0), _SOFTNESS_PX), np.float32)
    soft /= soft.std()
    return soft, float(1.4826 * np.median(np.abs(_noise(soft))))


def _pattern(seed: int, top: int, left: int, height: int, width: int) -> F32Array:
    """Return another part of the tile for every seed, shape (height, width)."""
    down, right = tile_offset(seed)
    rows, columns = (np.arange(height) + top + down) % _TILE_PX, (np.arange(width) + left + right) % _TILE_PX
    return _tile()[0][rows[:, None], columns[None, :]]


@dataclass(frozen=True, slots=True)
class GrainRules:
    """Rules that another implementation of grain needs to make the same.

    Attributes:
        fewest_pixels: Noise of fewer pixels is not told.
        least: Grain of less than this share of the peak is left out.
        most: Grain of more than this share is not added.
        edge: Opacity above which the rim begins.
        core: Opacity below which it ends, and the share of a mask's largest one above which new pixels are.
        blur_sigma: Deviation of the Gaussian that noise is finer than.
        tile: Noise of deviation 1, shape (N, N).
        tile_noise: How much of it is found again.
    """

    fewest_pixels: int
    least: float
    most: float
    edge: float
    core: float
    blur_sigma: float
    tile: F32Array
    tile_noise: float


def grain_rules() -> GrainRules:
    """Return the rules by which noise is found and grain made."""
    return GrainRules(_FEWEST_PIXELS, _LEAST, _MOST, _EDGE, _CORE, 1.0, *_tile())


def tile_offset(seed: int) -> tuple[int, int]:
    """Return the row and column of the tile at which the grain of a seed has a plane's first sample."""
    down, right = np.random.Generator(np.random.PCG64(seed)).integers(_TILE_PX, size=2)
    return int(down), int(right)
