"""From phonemes to the shape of a mouth over time."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lipwise_ray.synth.speech import Phoneme
from lipwise_ray.values import F32Array, F64Array

PARAMETERS = ("opening", "width", "rounding", "teeth", "tongue", "bite")
"""Columns of a mouth track.

``opening`` 0 closed to 1 wide open; ``width`` -1 narrow to 1 spread; ``rounding`` 0 to 1 lips pushed
forward; ``teeth`` and ``tongue`` 0 hidden to 1 shown; ``bite`` 0 to 1 lower lip under the upper teeth.
"""

_TRACK_RATE_HZ = 200
_SMOOTHING_S = 0.032
_LEAD_S = 0.06
"""Lips move ahead of the phoneme that they shape: they travel while the phoneme before still lasts."""


@dataclass(frozen=True, slots=True)
class _Viseme:
    """Target of a phoneme for the mouth, and its strength against its neighbours."""

    opening: float
    width: float = 0.0
    rounding: float = 0.0
    teeth: float = 0.4
    tongue: float = 0.0
    bite: float = 0.0
    strength: float = 1.0


_REST = _Viseme(0.0, teeth=0.0, strength=1.5)
_CLOSED = _Viseme(0.0, width=0.1, teeth=0.0, strength=9.0)
_LIP_TEETH = _Viseme(0.10, teeth=1.0, bite=1.0, strength=5.0)
_ALVEOLAR = _Viseme(0.22, width=0.3, teeth=0.8, strength=0.5)
_HISS = _Viseme(0.16, width=0.4, teeth=1.0, strength=1.2)
_HUSH = _Viseme(0.26, rounding=0.6, teeth=0.9, strength=1.5)
_VELAR = _Viseme(0.34, teeth=0.4, strength=0.3)
_THROAT = _Viseme(0.45, teeth=0.3, strength=0.1)

_OPEN = _Viseme(1.0, width=0.25, teeth=0.45, tongue=0.35)
_MID = _Viseme(0.55, width=0.1, teeth=0.4, tongue=0.2)
_FRONT_MID = _Viseme(0.6, width=0.65, teeth=0.7, tongue=0.4)
_FRONT_CLOSE = _Viseme(0.34, width=1.0, teeth=0.9, tongue=0.3)
_BACK_MID = _Viseme(0.66, width=-0.3, rounding=0.65, teeth=0.15)
_BACK_CLOSE = _Viseme(0.30, width=-0.6, rounding=1.0, teeth=0.0)

_BY_LETTER: dict[str, _Viseme] = {
    **dict.fromkeys("pbmʙɓ", _CLOSED),
    **dict.fromkeys("fvɱʋɸβ", _LIP_TEETH),
    **dict.fromkeys("θð", _Viseme(0.26, width=0.2, teeth=0.8, tongue=1.0, strength=1.5)),
    **dict.fromkeys("tdnɾ", _ALVEOLAR),
    **dict.fromkeys("lɫɭʎ", _Viseme(0.32, width=0.2, teeth=0.6, tongue=0.9, strength=0.6)),
    **dict.fromkeys("szɕʑ", _HISS),
    **dict.fromkeys("ʃʒʂʐ", _HUSH),
    **dict.fromkeys("kɡgŋxɣqɲɴ", _VELAR),
    **dict.fromkeys("hɦħʕʔχʁ", _THROAT),
    **dict.fromkeys("rɹɻʀ", _Viseme(0.30, rounding=0.35, teeth=0.4, strength=0.7)),
    **dict.fromkeys("j", _Viseme(0.28, width=0.8, teeth=0.8, strength=0.7)),
    **dict.fromkeys("wɥʍ", _Viseme(0.18, width=-0.6, rounding=1.0, teeth=0.0, strength=2.0)),
    **dict.fromkeys("aɐɑæɒ", _OPEN),
    **dict.fromkeys("əʌɜɘɨᵻɚɝ", _MID),
    **dict.fromkeys("eɛœø", _FRONT_MID),
    **dict.fromkeys("iɪy", _FRONT_CLOSE),
    **dict.fromkeys("oɔɤ", _BACK_MID),
    **dict.fromkeys("uʊʉ", _BACK_CLOSE),
    **dict.fromkeys("ɯ", _Viseme(0.32, width=0.4, teeth=0.6)),
}


def _visemes_of(ipa: str) -> list[_Viseme]:
    """Return the mouth shapes of one phoneme: two for a diphthong or an affricate."""
    letters = [letter for letter in unicodedata.normalize("NFD", ipa) if letter in _BY_LETTER]
    return [_BY_LETTER[letter] for letter in letters[:2]] or [_REST if not ipa else _VELAR]


def mouth_track(phonemes: tuple[Phoneme, ...], times_s: F64Array) -> F32Array:
    """Return the mouth at the given times.

    Every phoneme pulls the mouth towards its own shape; a Gaussian over time weighs the pulls by
    duration and strength, so that weak phonemes take on the shape of their neighbours and lips that
    must meet (p, b, m) do meet.

    Args:
        phonemes: Phonemes that are said.
        times_s: Shape (N,).

    Returns:
        Shape (N, 6), the columns of `PARAMETERS`.
    """
    end_s = max([p.stop_s for p in phonemes], default=0.0)
    count = max(1, round(max(end_s, float(times_s.max(initial=0.0)) + _LEAD_S) * _TRACK_RATE_HZ) + 1)
    targets = np.zeros((count, len(PARAMETERS)))
    strength = np.full(count, _REST.strength)
    for phoneme in phonemes:
        shapes = _visemes_of(phoneme.ipa)
        length_s = (phoneme.stop_s - phoneme.start_s) / len(shapes)
        for place, shape in enumerate(shapes):
            start_s = phoneme.start_s + place * length_s
            part = slice(round(start_s * _TRACK_RATE_HZ), max(1, round((start_s + length_s) * _TRACK_RATE_HZ)))
            targets[part] = [getattr(shape, name) for name in PARAMETERS]
            strength[part] = shape.strength
    sigma = _SMOOTHING_S * _TRACK_RATE_HZ
    pulls = gaussian_filter1d(targets * strength[:, None], sigma, axis=0, mode="nearest")
    weights = gaussian_filter1d(strength, sigma, mode="nearest")
    track = pulls / weights[:, None]
    grid = np.arange(count) / _TRACK_RATE_HZ
    at = times_s + _LEAD_S
    return np.stack([np.interp(at, grid, column) for column in track.T], axis=1).astype(np.float32)
