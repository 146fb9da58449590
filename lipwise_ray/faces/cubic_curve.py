"""Cubic curves through values whose slopes are known."""

from __future__ import annotations

import numpy as np

from lipwise_ray.values import F64Array, I64Array


def cubic_curve(knots: I64Array, values: F64Array, slopes: F64Array, places: I64Array) -> F64Array:
    """Evaluate the cubic curve that passes knots with given slopes, shape (P, C).

    The same to the bit as SciPy's `CubicHermiteSpline`, whose package takes longer to load than a face to be found.

    Args:
        knots: Places of the values, rising, shape (N,) with N >= 2.
        values: Shape (N, C).
        slopes: Shape (N, C).
        places: Within the knots, shape (P,).
    """
    width = np.diff(knots).astype(np.float64)[:, None]
    rise = np.diff(values, axis=0) / width
    excess = (slopes[:-1] + slopes[1:] - 2 * rise) / width
    square = (rise - slopes[:-1]) / width - excess
    cube = excess / width
    left = np.searchsorted(knots, places, side="right").clip(1, len(knots) - 1) - 1
    along = (places - knots[left]).astype(np.float64)[:, None]
    powers = along * along
    return values[left] + slopes[left] * along + square[left] * powers + cube[left] * (powers * along)
