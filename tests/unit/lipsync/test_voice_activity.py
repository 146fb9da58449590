"""Where a sound pauses."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.mel import MEL_RATE_HZ, SAMPLE_RATE_HZ, SILENCE, mel_spectrogram
from lipwise_ray.lipsync.voice_activity import runs, spoken, voiced
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS, window
from tests.support.seeded import speech_like_wave


def _pauses(wave: np.ndarray, min_pause_s: float = 0.3) -> list[tuple[float, float]]:
    found = runs(~voiced(mel_spectrogram(wave.astype(np.float32)).T, min_pause_s)) / MEL_RATE_HZ
    return [(float(start), float(stop)) for start, stop in found]


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_pauses_are_found_at_any_level(noise: float, gain: float) -> None:
    """Speech, two seconds of nothing, speech: one pause, over a quiet room as over digital silence."""
    wave = np.concatenate([speech_like_wave(2), np.zeros(2 * SAMPLE_RATE_HZ), speech_like_wave(2)])
    room = np.random.default_rng(1).normal(0, 1, len(wave))
    pauses = [(start, stop) for start, stop in _pauses(gain * (wave + noise * room)) if stop - start > 1]
    assert len(pauses) == 1
    assert pauses[0][0] == pytest.approx(2.1, abs=0.1)
    assert pauses[0][1] == pytest.approx(3.9, abs=0.1)


def test_short_pauses_are_speech_and_clicks_are_not() -> None:
    """A gap of 0.2 s stays speech with the default; a click in a pause does not split it."""
    talk = speech_like_wave(1)[: int(0.4 * SAMPLE_RATE_HZ)]
    wave = np.concatenate([talk, np.zeros(int(0.3 * SAMPLE_RATE_HZ)), talk, np.zeros(2 * SAMPLE_RATE_HZ), talk])
    wave[int(2 * SAMPLE_RATE_HZ)] = 0.9
    assert len([1 for start, stop in _pauses(wave) if stop - start > 0.3]) == 1


def test_sound_without_speech_and_without_pauses() -> None:
    """Silence is one long pause; a steady sound has none."""
    assert _pauses(np.zeros(SAMPLE_RATE_HZ)) == [(0.0, 81 / MEL_RATE_HZ)]
    steady = 0.2 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    assert _pauses(steady) == []


def _spoken(probability: list[float], min_pause_s: float = 0.1) -> list[tuple[int, int]]:
    """Return the stretches of speech in columns, of windows of 2.56 columns."""
    found = spoken(np.array(probability), round(2.56 * len(probability)) + 1, min_pause_s)
    return [(int(start), int(stop)) for start, stop in runs(found)]


def test_speech_begins_surely_and_lasts_while_it_is_likely() -> None:
    """It begins at one half and ends below 0.35; the network's lag is taken off."""
    assert _spoken([0.1] * 20 + [0.4] * 5 + [0.9] * 20 + [0.4] * 10 + [0.2] * 20) == [(63, 136)]
    assert _spoken([0.1] * 20 + [0.45] * 20 + [0.1] * 20) == []


def test_less_than_a_syllable_is_no_speech() -> None:
    """Two windows are none, and three are."""
    assert _spoken([0.0] * 10 + [0.9] * 2 + [0.0] * 10) == []
    assert len(_spoken([0.0] * 10 + [0.9] * 3 + [0.0] * 10)) == 1


def test_short_pauses_of_a_detector_are_speech_too() -> None:
    """A gap is closed where it is shorter than the shortest pause; audio without any speech has none made."""
    gap = [0.9] * 20 + [0.0] * 6 + [0.9] * 20
    assert len(_spoken(gap, 0.1)) == 2
    assert _spoken(gap, 0.4) == [(0, 119)]
    assert _spoken([0.0] * 3, 0.4) == []
    assert _spoken([], 0.4) == []


def test_pauses_are_silent_for_the_network() -> None:
    """A window shows silence where a pause lies, and the sound everywhere else."""
    mel = np.random.default_rng(2).uniform(-3, 3, (100, 80)).astype(np.float32)
    pauses = np.array([[0, 5], [20, 24], [40, 90]], np.int64)
    for start in range(-5, 100):
        plain, hushed = window(mel, start), window(mel, start, pauses)
        for column in range(WINDOW_COLUMNS):
            is_quiet = any(begin <= start + column < end for begin, end in pauses)
            wanted = np.full(80, SILENCE, np.float32) if is_quiet else plain[:, column]
            assert np.array_equal(hushed[:, column], wanted)
