"""The Fréchet distance: in closed form, in parts, beside another way to compute it; PSNR and SSIM."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.metrics.fid import Moments, frechet
from lipwise_ray.metrics.fidelity import mean_square, psnr, ssim


def _features(count: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)).astype(
        np.float32
    )


def test_a_shift_is_its_square() -> None:
    """Sets that differ by a shift alone are as far apart as its squared length; a set is at no distance from itself."""
    features = _features(300, 6, 1)
    shift = np.array([1, 2, 0, 0, -2, 0], np.float32)
    a = Moments.of(features)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, Moments.of(features + shift)) == pytest.approx(9, rel=1e-4)


@pytest.mark.parametrize(("count", "width"), [(500, 8), (5, 8), (40, 64)])
def test_it_is_what_a_matrix_root_gives(count: int, width: int) -> None:
    """Also for fewer features than they have values, where covariances have no full rank."""
    a, b = _features(count, width, 2), _features(count + 3, width, 3)
    spread = [np.cov(one.astype(np.float64), rowvar=False) for one in (a, b)]
    root = np.real(scipy.linalg.sqrtm(spread[0] @ spread[1]))
    apart = a.astype(np.float64).mean(0) - b.astype(np.float64).mean(0)
    expected = apart @ apart + np.trace(spread[0] + spread[1] - 2 * root)
    assert frechet(Moments.of(a), Moments.of(b)) == pytest.approx(expected, rel=1e-3)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 100))
def test_parts_add_up(sizes: list[int], seed: int) -> None:
    """However features are divided, empty parts among them, their joined moments are those of the whole."""
    features = _features(max(1, sum(sizes)), 5, seed)[: sum(sizes)]
    parts = np.split(features, np.cumsum(sizes)[:-1])
    joined = Moments.of(parts[0])
    for part in parts[1:]:
        joined = joined.joined(Moments.of(part))
    whole = Moments.of(features)
    assert joined.count == whole.count
    assert np.allclose(joined.mean, whole.mean, atol=1e-9)
    assert np.allclose(joined.scatter, whole.scatter, atol=1e-6)


def test_one_picture_has_no_spread() -> None:
    """Fewer than two on either side have no distance."""
    one, many = Moments.of(_features(1, 4, 1)), Moments.of(_features(9, 4, 2))
    assert frechet(one, many) is frechet(many, one) is None


def test_pictures_by_hand() -> None:
    """One level everywhere is 48.13 dB; equal pictures have no ratio; a picture is wholly like itself."""
    a = np.tile(np.linspace(20, 200, 40, dtype=np.float32), (30, 1))
    assert psnr(mean_square(a, a + 1)) == pytest.approx(48.1308, abs=1e-3)
    assert psnr(mean_square(a, a)) is None
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, a[:, ::-1].copy()) < 0.5
    assert ssim(a[:10], a[:10]) is None
