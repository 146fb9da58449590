"""The lag of one video behind another, by what moves in both."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.metrics.lag import TimedImages, find_lag

RATE_HZ = 25.0


def _film(lag_s: float, *, seconds: float = 6.0, gain: float = 1.0, offset: float = 0.0) -> TimedImages:
    """Draw blobs that sway at several speeds, as seen so much later."""
    start_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    place = np.arange(64.0)
    now = (start_s - lag_s)[:, None]
    middle = 32 + 9 * np.sin(1.7 * now) + 5 * np.sin(4.1 * now + 1)
    luma = 16 + offset + gain * 180 * np.exp(-(((place - middle) / 6) ** 2))
    return TimedImages(start_s, seconds, luma.astype(np.float32))


@pytest.mark.parametrize("lag_s", [0.0, 0.4, -0.4, 1.2])
def test_a_lag_is_found_whatever_the_exposure(lag_s: float) -> None:
    """Movement is compared: a video that is darker and lower in contrast has the same lag."""
    found = find_lag(_film(lag_s, gain=0.6, offset=20), _film(0.0), 2.0, 1 / RATE_HZ)
    assert found == pytest.approx(lag_s, abs=0.5 / RATE_HZ)


def test_still_images_tell_nothing() -> None:
    """Where nothing moves, or what moves differs, there is no lag to tell."""
    still = TimedImages(np.arange(100) / RATE_HZ, 4.0, np.full((100, 64), 90.0, np.float32))
    assert find_lag(still, still, 2.0, 1 / RATE_HZ) is None
    noise = np.random.default_rng(1).normal(90, 20, (100, 64)).astype(np.float32)
    other = TimedImages(still.start_s, 4.0, noise)
    assert find_lag(_film(0.0), other, 2.0, 1 / RATE_HZ) is None


def test_too_short_a_stretch_tells_nothing() -> None:
    """A few frames are like many others."""
    assert find_lag(_film(0.0, seconds=0.3), _film(0.0, seconds=0.3), 2.0, 1 / RATE_HZ) is None
