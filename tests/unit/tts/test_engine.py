"""Rules for the speech of every engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import AudioError
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.tts.engine import without_silence, write_speech

RATE = 22_050


def _tone(seconds: float) -> np.ndarray:
    return np.sin(np.arange(round(seconds * RATE)) * 0.1).astype(np.float32) * 0.4


@pytest.mark.parametrize("before_s", [0.0, 0.004, 0.31, 2.0])
def test_speech_begins_with_sound(before_s: float) -> None:
    """Whatever silence or hiss an engine puts before it, within 15 ms; and it ends within 60 ms of its last sound."""
    noise = np.random.default_rng(1).normal(0, 3e-4, round(before_s * RATE)).astype(np.float32)
    found = without_silence(np.concatenate([noise, _tone(1.0), np.zeros(RATE, np.float32)]), RATE, "x")
    first = int(np.flatnonzero(np.abs(found) > 0.05)[0])
    assert first / RATE <= 0.015
    assert len(found) / RATE == pytest.approx(1.05, abs=0.02)


@pytest.mark.parametrize(
    ("wave_f32", "rate_hz", "code"),
    [
        (np.zeros(RATE, np.float32), RATE, "tts_silent"),
        (np.zeros(0, np.float32), RATE, "tts_silent"),
        (np.full(RATE, np.nan, np.float32), RATE, "tts_output"),
        (_tone(1.0), 400, "tts_output"),
    ],
)
def test_sound_that_is_no_speech_is_refused(wave_f32: np.ndarray, rate_hz: int, code: str) -> None:
    """Silence, no numbers, no rate: the row is told of it before anything is rendered."""
    with pytest.raises(AudioError) as caught:
        without_silence(wave_f32, rate_hz, "x")
    assert caught.value.code == code


def test_equal_samples_are_equal_files(tmp_path: Path) -> None:
    """Speech is known by its bytes; it opens like any other sound, and louder samples than full are clipped."""
    for name in ("a", "b"):
        write_speech(tmp_path / f"{name}.wav", _tone(0.5) * 4, RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert probe_audio(tmp_path / "a.wav").rate_hz == RATE
