"""Pairs that cost least together."""

from __future__ import annotations

import numpy as np

from lipwise_ray.faces.pairing import best_pairs


def test_the_sum_counts_and_not_the_nearest() -> None:
    """The first row gives up what is best for it, where that costs the second more."""
    rows, columns = best_pairs(np.array([[1.0, 2.0], [1.0, 9.0], [5.0, 8.0]]))
    assert [*zip(rows.tolist(), columns.tolist(), strict=True)] == [(0, 1), (1, 0)]
