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


def _lips(rng: np.random.Generator, seconds: float, begin_s: float) -> TimedImages:
    """Draw a head that stands still, and lips that move slowly as nobody else's."""
    frames = int(seconds * RATE_HZ)
    real, imaginary = rng.normal(size=(2, frames // 2 + 1))
    waves = real + 1j * imaginary
    rates_hz = np.fft.rfftfreq(frames, 1 / RATE_HZ)
    waves[(rates_hz < 0.2) | (rates_hz > 2)] = 0
    opening = np.fft.irfft(waves, frames)
    luma = np.full((frames, 64), 90.0) + rng.normal(0, 0.1, (frames, 64))
    luma[:, 40:44] += (12 * opening / opening.std())[:, None]
    return TimedImages(begin_s + np.arange(frames) / RATE_HZ, begin_s + seconds, luma.astype(np.float32))


def test_other_lips_of_a_still_head_have_no_lag() -> None:
    """Where nothing else moves, some lag of many is alike by chance, and must not be claimed."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        found = find_lag(_lips(rng, 6.0, 0.0), _lips(rng, 10.0, -2.0), 2.0, 1 / RATE_HZ)
        assert not found, seed
