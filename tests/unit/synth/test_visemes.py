from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.synth.speech import Phoneme
from lipwise_ray.synth.visemes import PARAMETERS, mouth_track

pytest.importorskip("scipy")

OPENING, ROUNDING, BITE = (PARAMETERS.index(name) for name in ("opening", "rounding", "bite"))


def _track(*sounds: str, each_s: float = 0.12) -> np.ndarray:
    """Return the mouth of sounds in a row, frame times at 100 a second."""
    phonemes = tuple(Phoneme(ipa, n * each_s, (n + 1) * each_s) for n, ipa in enumerate(sounds))
    return mouth_track(phonemes, np.arange(int(len(sounds) * each_s * 100)) / 100)


@pytest.mark.parametrize("closed", ["m", "b", "p"])
def test_lips_meet_on_bilabials_between_vowels(closed: str) -> None:
    """An m, b or p between two open vowels closes the mouth, the vowels open it."""
    track = _track("", "a", closed, "a", "", each_s=0.16)
    assert track[:, OPENING].max() > 0.8
    between = track[20:50, OPENING]
    assert between.min() < 0.05


def test_the_mouth_rests_in_silence() -> None:
    """Nothing moves where nothing is said."""
    track = _track("", "", "a", "", "", "", each_s=0.2)
    assert np.abs(track[:10, OPENING]).max() < 0.02
    assert np.abs(track[-20:, OPENING]).max() < 0.02


def test_lips_lead_the_sound() -> None:
    """The mouth begins to open before the vowel sounds."""
    track = _track("", "a", "", each_s=0.3)
    opened = int(np.argmax(track[:, OPENING] > 0.4))
    assert 0.20 < opened / 100 < 0.30


def test_round_vowels_round_and_labiodentals_bite() -> None:
    """U pushes the lips forward, f puts the lower lip under the teeth, i does neither."""
    assert _track("", "u", "")[:, ROUNDING].max() > 0.8
    assert _track("a", "f", "a")[:, BITE].max() > 0.7
    neither = _track("", "i", "")
    assert neither[:, ROUNDING].max() < 0.05
    assert neither[:, BITE].max() < 0.05


def test_a_weak_sound_takes_its_neighbours_shape() -> None:
    """An h before an open vowel is open, before a round one round: coarticulation."""
    assert _track("", "h", "a", "")[15, OPENING] > _track("", "h", "i", "")[15, OPENING] + 0.1
    assert _track("u", "k", "u")[18, ROUNDING] > 0.6
