"""Order statistics of images."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.ranks import median, ranked


@pytest.mark.parametrize("count", range(1, 18))
def test_ranks_are_those_of_sorted_values(count: int) -> None:
    """Of any number of images, with values that occur more than once; the images stay as they are."""
    planes = np.random.default_rng(count).integers(0, 12, (count, 3, 500)).astype(np.float32)
    before = planes.copy()
    for rank, expected in enumerate(np.sort(planes, axis=0)):
        assert np.array_equal(ranked(list(planes), rank), expected)
    assert np.array_equal(median(list(planes)), np.median(planes, axis=0))
    assert np.array_equal(planes, before)
