"""Averages of a row of samples over steps that begin anywhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipwise_ray.media.area_average import AreaAverage, AreaWeights, area_weights, repeated
from lipwise_ray.values import F64Array

_FINER = 500


def _kernel(distance: F64Array) -> F64Array:
    """The cubic kernel as OpenCV documents it."""
    t, a = np.abs(distance), -0.75
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _weights(start: float, step: float, count: int) -> list[AreaWeights]:
    return area_weights(np.array([start]), np.array([step]), count)


def _numeric(rows: F64Array, start: float, step: float, count: int) -> F64Array:
    """The averages by so many samples of the interpolated rows each, shape (rows, count)."""
    places = start + step * (np.arange(count)[:, None] - 0.5 + (np.arange(_FINER) + 0.5) / _FINER)
    around = np.floor(places).astype(int)[..., None] + np.arange(-1, 3)
    samples = rows[:, np.clip(around, 0, rows.shape[1] - 1)]
    return (samples * _kernel(places[..., None] - around)).sum(axis=-1).mean(axis=-1)


@pytest.mark.parametrize("start", [5.3, -20.25, 90.0])
@pytest.mark.parametrize("step", [1.61, 2.0, 3.7, -2.2, 8.01, 0.6])
def test_averages_are_integrals_of_the_interpolated_row(start: float, step: float) -> None:
    """They equal a sum over hundreds of places a step, backwards too, and where the row has long ended."""
    plane = np.random.default_rng(1).integers(0, 256, (40, 120)).astype(np.uint8)
    found = AreaAverage(*_weights(start, step, 24), *_weights(3.5, 2.5, 12))([plane])[0]
    across = _numeric(plane.astype(np.float64), start, step, 24)
    expected = _numeric(across.T, 3.5, 2.5, 12).T
    assert np.abs(found - expected).max() < 0.01


def test_nothing_moves() -> None:
    """The centre of a blob is where it was, to a hundredth of a sample, whatever the step and its beginning."""
    y, x = np.mgrid[:200, :220]
    blob = 200 * np.exp(-((x - 113.3) ** 2 + (y - 97.8) ** 2) / (2 * 12.0**2))
    for step in (1.7, 2.43, 3.9):
        for begin in (11.0, 11.31, 11.77):
            weights = 2 * _weights(begin, step, int(185 / step))
            found = AreaAverage(*weights)([blob.astype(np.float32)])[0]
            places = begin + step * np.arange(len(found))
            for axis, centre in enumerate((113.3, 97.8)):
                assert (found.sum(axis=axis) * places).sum() / found.sum() == pytest.approx(centre, abs=0.01)


@pytest.mark.parametrize("step", [1.7, 2.6, 4.1])
def test_little_detail_is_lost(step: float) -> None:
    """Of waves as fine as the averages can hold, nearly all is left that an average over the step can leave."""
    for share in (0.3, 0.6, 0.9):
        per_sample = 0.5 * share / step
        wave = 128 + 100 * np.sin(2 * np.pi * per_sample * np.arange(600) + 0.4)
        rows = np.tile(wave, (24, 1)).astype(np.float32)
        found = AreaAverage(*_weights(60.2, step, 100), *_weights(8, 2, 3))([rows])[0]
        places = 60.2 + step * np.arange(100)
        basis = np.exp(2j * np.pi * per_sample * places)
        left = 2 * abs(((found[1] - found[1].mean()) * basis.conj()).mean()) / 100
        assert left > 0.95 * np.sinc(0.5 * share)


def test_the_edge_repeats() -> None:
    """A part that reaches past a plane's edge shows the samples at the edge there, also when it is wholly outside."""
    plane = np.arange(35, dtype=np.uint16).reshape(5, 7)
    padded = cv2.copyMakeBorder(plane, 20, 20, 20, 20, cv2.BORDER_REPLICATE)
    for rows, columns in ((slice(1, 4), slice(2, 5)), (slice(-3, 9), slice(-1, 3)), (slice(-9, -4), slice(8, 19))):
        whole = padded[rows.start + 20 : rows.stop + 20, columns.start + 20 : columns.stop + 20]
        assert np.array_equal(repeated(plane, rows, columns), whole)
