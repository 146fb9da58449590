"""Pairs that cost least together."""

from __future__ import annotations

from lipwise_ray.values import FloatArray, I64Array


def best_pairs(costs: FloatArray) -> tuple[I64Array, I64Array]:
    """Return the rows and the columns of the pairs whose costs have the smallest sum; none is in two pairs.

    Args:
        costs: Shape (rows, columns).
    """
    from scipy.optimize import linear_sum_assignment  # takes half a second to load: drivers link nothing

    return linear_sum_assignment(costs)
