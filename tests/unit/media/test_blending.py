"""Mixing new samples of a plane with those that are there."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.media.blending import blend


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("black", [None, 0.0, 16.0])
@pytest.mark.parametrize("darkest", [0, 16])
def test_samples_are_mixed_by_the_rule(bits: int, black: float | None, darkest: int) -> None:
    """Every sample is the rounded mean, of light or of samples as stored, whether or not some are below black."""
    random, peak = np.random.default_rng(bits), float((1 << bits) - 1)
    old = random.integers(darkest, int(peak) + 1, (60, 70))
    fresh = random.uniform(-0.2 * peak, 1.2 * peak, old.shape).astype(np.float32)
    alpha = np.clip(random.uniform(-0.5, 1.5, old.shape), 0, 1).astype(np.float32)
    window = old.astype(np.uint8 if bits == 8 else np.uint16)
    blend(window, fresh.copy(), alpha, peak=peak, black=black)
    if black is None:
        wanted = old + alpha.astype(np.float64) * (fresh - old)
    else:
        light, dark = np.maximum(old - black, 0) ** 2, np.minimum(old - black, 0)
        mixed = light + alpha.astype(np.float64) * (np.maximum(fresh.astype(np.float64) - black, 0) ** 2 - light)
        wanted = np.sqrt(mixed) + black + (1 - alpha) * dark
    assert np.abs(window - np.clip(wanted, 0, peak)).max() < 0.501
    assert np.array_equal(window[alpha == 0], old[alpha == 0])
