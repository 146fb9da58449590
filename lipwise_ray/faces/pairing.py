"""Pairs that cost least together."""

from __future__ import annotations

import numpy as np

from lipwise_ray.values import FloatArray, I64Array


def best_pairs(costs: FloatArray) -> tuple[I64Array, I64Array]:
    """Return the rows and the columns of the pairs whose costs have the smallest sum; none is in two pairs.

    Args:
        costs: Shape (rows, columns).
    """
    if 0 in costs.shape:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if 1 in costs.shape and np.isfinite(costs).all():  # one face among others, as in most footage
        first, pair = np.zeros(1, np.int64), np.argmin(costs).reshape(1)
        return (first, pair) if len(costs) == 1 else (pair, first)
    from scipy.optimize import linear_sum_assignment  # takes half a second to load: drivers link nothing

    return linear_sum_assignment(costs)
