"""Cubic curves through values whose slopes are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from lipwise_ray.faces.cubic_curve import cubic_curve


@pytest.mark.parametrize("count", [2, 3, 40])
def test_curves_are_those_of_scipy(count: int) -> None:
    """Between knots, on each of them and at both ends, for several columns at once."""
    random = np.random.default_rng(count)
    knots = np.cumsum(random.integers(1, 9, count))
    values = random.normal(300, 50, (count, 4))
    slopes = np.gradient(values, knots, axis=0)
    places = np.arange(knots[0], knots[-1] + 1)
    expected = scipy.interpolate.CubicHermiteSpline(knots, values, slopes)(places)
    assert np.allclose(cubic_curve(knots, values, slopes, places), expected, rtol=1e-14, atol=0)
