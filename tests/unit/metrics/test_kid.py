"""The kernel inception distance."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.metrics.kid import kernel_distance
from lipwise_ray.values import F32Array


def _features(seed: int, shift: float = 0.0, count: int = 300) -> F32Array:
    return np.random.default_rng(seed).normal(shift, 1, (count, 16)).astype(np.float32)


def test_the_distance_is_the_unbiased_one_of_the_cubic_kernel() -> None:
    """It equals the sum over pairs written out, and is about nought for draws of one distribution."""
    a, b = _features(1, count=40), _features(2, 0.5, count=40)

    def kernel(x: F32Array, y: F32Array) -> np.ndarray:
        return (x.astype(np.float64) @ y.T / 16 + 1) ** 3

    apart = ~np.eye(40, dtype=bool)
    expected = kernel(a, a)[apart].mean() + kernel(b, b)[apart].mean() - 2 * kernel(a, b).mean()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-6)
    alike, apart_by = kernel_distance(_features(3), _features(4)), kernel_distance(_features(3), _features(4, 1.0))
    assert alike is not None
    assert apart_by is not None
    assert abs(alike) < 0.02 < apart_by


def test_one_face_has_no_distance() -> None:
    """A spread takes two."""
    assert kernel_distance(_features(1, count=1), _features(2)) is None
