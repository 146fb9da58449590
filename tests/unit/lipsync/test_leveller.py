"""Levelling of a wave for voice activity detection."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.leveller import Leveller
from lipwise_ray.lipsync.mel import SAMPLE_RATE_HZ
from lipwise_ray.lipsync.voice_activity import WINDOW_SAMPLES

RATE = SAMPLE_RATE_HZ


def _noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def _levelled(wave: np.ndarray) -> np.ndarray:
    return Leveller(wave, WINDOW_SAMPLES, RATE).levelled(0, len(wave))


def _level_db(wave: np.ndarray) -> float:
    return float(20 * np.log10(wave.std()))


@pytest.mark.parametrize("gain", [1e-3, 1e-2, 0.1, 1.0, 5.0])
def test_any_level_becomes_one(gain: float) -> None:
    """From 80 dB below full scale to clipping the detector hears the same."""
    assert _level_db(_levelled(gain * _noise(8))) == pytest.approx(-22, abs=0.5)


def test_a_quiet_scene_beside_a_loud_one_is_raised() -> None:
    """Each is levelled by itself, a few seconds from where they meet."""
    levelled = _levelled(np.concatenate([_noise(10), 0.01 * _noise(10)]))
    assert _level_db(levelled[: 6 * RATE]) == pytest.approx(-22, abs=0.5)
    assert _level_db(levelled[14 * RATE :]) == pytest.approx(-22, abs=0.5)


def test_clicks_hardly_count() -> None:
    """A click of full scale every second leaves quiet speech where it is without."""
    wave = _noise(8, 0.005)
    clicked = wave.copy()
    clicked[::RATE] = 0.9
    quieter_db = _level_db(_levelled(wave)) - _level_db(np.delete(_levelled(clicked), np.arange(0, len(wave), RATE)))
    assert 0 <= quieter_db < 6


def test_an_offset_is_taken_away_and_silence_stays() -> None:
    """A constant is silence, and silence is not made of numbers that divide by nothing."""
    assert not np.abs(_levelled(np.full(RATE, 0.5, np.float32))).max() > 1e-4
    assert not _levelled(np.zeros(RATE, np.float32)).any()
    with_offset = _levelled(_noise(8) + np.float32(0.4))
    assert abs(with_offset.mean()) < 1e-3
    assert _level_db(with_offset) == pytest.approx(-22, abs=0.5)


def test_parts_are_the_wholes() -> None:
    """Whatever stretch is asked for, its samples are those of the whole; before and after the wave is silence."""
    wave = np.concatenate([_noise(5), 0.1 * _noise(5.01)])
    leveller, whole = Leveller(wave, WINDOW_SAMPLES, RATE), _levelled(wave)
    for start, stop in ((0, 1), (511, 513), (70_000, 90_001), (len(wave) - 3, len(wave))):
        assert np.array_equal(leveller.levelled(start, stop), whole[start:stop])
    padded = leveller.levelled(-64, len(wave) + 100)
    assert not padded[:64].any()
    assert not padded[-100:].any()
    assert np.array_equal(padded[64:-100], whole)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513])
def test_any_length(samples: int) -> None:
    """Waves shorter than a window have one, and none has none."""
    leveller = Leveller(_noise(1)[:samples], WINDOW_SAMPLES, RATE)
    assert leveller.windows == -(-samples // WINDOW_SAMPLES)
    assert len(leveller.levelled(0, samples)) == samples
