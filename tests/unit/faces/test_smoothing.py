"""Parabolas that calm boxes and landmarks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from lipwise_ray.faces.smoothing import parabola_weights, smooth
from tests.support.boxes import link_boxes, make_detections


@pytest.mark.parametrize("radius", [1, 2, 5, 10, 25])
def test_the_weights_are_those_of_savitzky_and_golay(radius: int) -> None:
    """A parabola's middle, by the library that knows these filters."""
    assert np.allclose(parabola_weights(radius), scipy.signal.savgol_coeffs(2 * radius + 1, 2), rtol=0, atol=1e-14)


def test_within_a_track_boxes_are_filtered_as_the_library_does_it() -> None:
    """Away from the ends each coordinate of a head that wanders is the filter's, to the last digit that is kept."""
    wander = np.random.default_rng(3).normal(0, 3, 80).cumsum() + 200
    raw = link_boxes(make_detections({n: [(x, 100, x + 80, 200)] for n, x in enumerate(wander)}, 80))
    expected = scipy.signal.savgol_filter(raw.box.astype(np.float64), 15, 2, axis=0)[7:-7]
    assert np.allclose(smooth(raw, 3).box[7:-7], expected, rtol=2**-23, atol=0)
