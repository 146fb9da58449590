"""Pairs that cost least together."""

from __future__ import annotations

import numpy as np
import scipy
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.faces.pairing import best_pairs


def test_the_sum_counts_and_not_the_nearest() -> None:
    """The first row gives up what is best for it, where that costs the second more."""
    rows, columns = best_pairs(np.array([[1.0, 2.0], [1.0, 9.0], [5.0, 8.0]]))
    assert [*zip(rows.tolist(), columns.tolist(), strict=True)] == [(0, 1), (1, 0)]


@given(st.integers(0, 6), st.booleans(), st.data())
def test_one_face_takes_the_pair_that_the_solver_takes(others: int, is_row: bool, data: st.DataObject) -> None:  # noqa: FBT001  # drawn
    """The pairs of a single row or column are the solver's, the first of several that cost the same."""
    drawn = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=others, max_size=others)), np.float64)
    costs = drawn[None] if is_row else drawn[:, None]
    for found, expected in zip(best_pairs(costs), scipy.optimize.linear_sum_assignment(costs), strict=True):
        assert found.tolist() == expected.tolist()
