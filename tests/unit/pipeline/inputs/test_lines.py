"""Lines of several clips: each as loud, and with the pauses, that it has alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.media.mix import AudioClip
from lipwise_ray.pipeline.inputs.lines import LineClip, keep_line, line_voices
from lipwise_ray.pipeline.inputs.records import Audio, open_audio, open_columns, voices
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ToneSpec, write_sound
from lipwise_ray.synth.footage import write_speech

RATE_HZ = 16_000
AROUND = 4
"""Columns that a transform's windows reach into what lies beside."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "state")


def _said(store: LocalStore, name: str, *, loud: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> Audio:
    path = store.root.parent / f"{name}.wav"
    if rate_hz == RATE_HZ:
        samples = round(seconds * RATE_HZ)
        hiss = np.random.default_rng(len(name)).uniform(-1, 1, samples) * (np.arange(samples) < 0.5 * samples)
        write_speech(path, (loud * hiss).astype(np.float32))
    else:
        write_sound(path, ToneSpec(seconds, rate_hz=rate_hz, channels=1, codec="pcm_s16le"))
    return open_audio(store, store.root.parent, path, name, salvage=False)


def _line(store: LocalStore, name: str, *placed: tuple[Audio, float]) -> Any:
    clips = [AudioClip(audio.info, audio.sound, start_s, None) for audio, start_s in placed]
    keep_line(store, store.root.parent, name, clips, salvage=False)
    return open_columns(store, layout.mel(name, salvage=False))


def _mel(store: LocalStore, audio: Audio) -> Any:
    return open_columns(store, layout.mel(audio.id, salvage=False))


def test_a_clip_is_heard_as_it_is_alone(store: LocalStore) -> None:
    """However loud others are: the network gets the columns that it got of the clip's own file."""
    faint, loud = _said(store, "faint", loud=0.01), _said(store, "loud1", loud=0.9)
    line = _line(store, "line", (faint, 0.0), (loud, 2.0))
    assert len(line) == 3 * MEL_RATE_HZ + 1
    inside = slice(AROUND, MEL_RATE_HZ - AROUND)
    for start, audio in ((0, faint), (2 * MEL_RATE_HZ, loud)):
        given, alone = (np.asarray(mel, np.float32)[inside] for mel in (line[start:], _mel(store, audio)))
        assert np.abs(given - alone).max() < 0.005  # of a scale of 8; the gain of the two is 39 dB apart


def test_a_clip_that_is_replaced_changes_no_other(store: LocalStore) -> None:
    """One that is louder than a sum could be, shorter, and of another rate."""
    first, second, third = (_said(store, name, loud=0.3) for name in ("a", "bb", "ccc"))
    new = _said(store, "new", loud=1.0, seconds=0.5, rate_hz=44_100)
    before = _line(store, "before", (first, 0.0), (second, 1.5), (third, 3.0))
    after = _line(store, "after", (first, 0.0), (new, 1.5), (third, 3.0))
    differ = np.flatnonzero((before != after).any(axis=1))
    assert len(differ)
    assert 1.5 * MEL_RATE_HZ - AROUND < differ.min() <= differ.max() < 2.5 * MEL_RATE_HZ + AROUND


def test_pauses_are_those_of_the_clips(store: LocalStore) -> None:
    """Each clip's own, and what lies between two; short pauses between them are none."""
    audio = _said(store, "said", loud=0.3)
    alone = voices(store, "said", 0, salvage=False, speech=None)
    placed = [LineClip("said", Fraction(start), Fraction(start) + 1) for start in (0, 3)]
    found = line_voices(store, placed, 4 * MEL_RATE_HZ + 1, 0.3, salvage=False, speech=None)
    assert np.array_equal(found[3 * MEL_RATE_HZ :], alone)
    assert found[: MEL_RATE_HZ // 2 - 1].all()
    assert not found[MEL_RATE_HZ : 3 * MEL_RATE_HZ - 1].any()
    cut = [LineClip("said", Fraction(0), Fraction(1, 2)), LineClip("said", Fraction(7, 10), Fraction(6, 5))]
    assert line_voices(store, cut, 96, 0.3, salvage=False, speech=None)[:88].all()
    assert audio.mel_columns == len(alone)
