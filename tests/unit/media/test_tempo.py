"""Audio made longer or shorter: its pitch, its exact length, and where its sounds come."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speech import synthesised
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.tempo import stretched, write_stretched
from lipwise_ray.synth.clips import ToneSpec, write_sound

BLOCK = 30_000
FACTORS = [Fraction(4, 5), Fraction(977, 1000), Fraction(1001, 1000), Fraction(5, 4)]


def _stretched(wave: np.ndarray, rate_hz: int, factor: Fraction, layout: str = "mono") -> np.ndarray:
    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, wave.shape[1], BLOCK):
            yield wave[:, start : start + BLOCK]

    wanted = round(wave.shape[1] * factor)
    found = list(stretched(blocks(), layout, rate_hz, wave.shape[1], wanted))
    assert max(block.shape[1] for block in found) < 3 * BLOCK  # never whole in memory
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize(
    ("factor", "noise"), [pytest.param(Fraction(4, 5), 0.0, marks=pytest.mark.slow), (Fraction(5, 4), 1e-3)]
)
def test_an_onset_late_in_a_long_sound_lands_where_it_belongs(factor: Fraction, noise: float) -> None:
    """Nothing drifts: at 90 % of ten minutes a tone begins within 10 ms of its time, in silence and in noise."""
    rate_hz, seconds = 44_100, 600
    wave = (noise * np.random.default_rng(1).standard_normal((1, rate_hz * seconds))).astype(np.float32)
    begin, count = int(0.9 * seconds * rate_hz), int(0.4 * rate_hz)
    wave[0, begin : begin + count] += 0.5 * np.sin(2 * np.pi * 140 * np.arange(count) / rate_hz).astype(np.float32)
    found = _stretched(wave, rate_hz, factor)
    assert found.shape[1] == round(wave.shape[1] * factor)
    onset = int(np.flatnonzero(np.abs(found[0]) > 0.02)[0])
    assert abs(onset - begin * float(factor)) < 0.01 * rate_hz


@pytest.mark.parametrize("factor", FACTORS)
def test_a_low_voice_keeps_its_pitch(factor: Fraction) -> None:
    """The fundamental of a buzz with the overtones of a voice stays where it is."""
    seconds = np.arange(16_000 * 4) / 16_000
    overtones = np.array([np.sin(2 * np.pi * 95 * n * seconds) / n for n in range(1, 30)])
    found = _stretched(0.2 * overtones.sum(0, keepdims=True).astype(np.float32), 16_000, factor)[0, 8_000:40_000]
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found)), 1 << 18))
    assert np.argmax(spectrum) * 16_000 / (1 << 18) == pytest.approx(95, rel=0.01)


@pytest.mark.parametrize("factor", FACTORS)
def test_what_is_said_keeps_its_places(factor: Fraction) -> None:
    """Spoken sentences are loud and quiet where they belong, within 10 ms."""
    wave = np.asarray(synthesised().wave, np.float32)[None, : 16_000 * 10]
    found = _stretched(wave, 16_000, factor)

    def level(samples: np.ndarray) -> np.ndarray:
        return np.sqrt(np.convolve(samples**2, np.ones(480) / 480, "same"))[::16]

    before, after = level(wave[0]), level(found[0])
    filmed = (np.arange(len(after)) - np.arange(-30, 31)[:, None]) / float(factor)
    off = np.abs(after - before[np.clip(filmed.round().astype(int), 0, len(before) - 1)]).mean(1)
    assert abs(int(np.argmin(off)) - 30) <= 10


@pytest.mark.parametrize(("layout", "rate_hz"), [("stereo", 48_000), ("5.1", 32_000), ("mono", 8_000)])
def test_channels_stay_together(layout: str, rate_hz: int) -> None:
    """All channels take the same turns: what was equal in two of them stays so, what was silent too."""
    count = {"stereo": 2, "5.1": 6, "mono": 1}[layout]
    wave = np.random.default_rng(2).normal(0, 0.1, (1, 3 * rate_hz)).astype(np.float32).repeat(count, 0)
    wave[-1] *= 0.5
    found = _stretched(wave, rate_hz, Fraction(11, 10), layout)
    assert found.shape == (count, round(3.3 * rate_hz))
    assert np.abs(found[-1] - found[0] * (0.5 if count > 1 else 1)).max() < 1e-4


@pytest.mark.parametrize("samples", [221, 300, 881])
def test_a_sound_may_be_shorter_than_a_window(tmp_path: Path, samples: int) -> None:
    """The file has the samples that were asked for, of whatever there is, and the rate of the source."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.02, 22_050, 2, "pcm_s16le"))
    info = probe_audio(tmp_path / "s.wav")
    sound = extract_network_audio(info, tmp_path / "raw")
    write_stretched(info, sound, samples, tmp_path / "out.mka")
    made = probe_audio(tmp_path / "out.mka")
    assert (made.rate_hz, made.layout) == (22_050, "stereo")
    blocks = list(AudioReader(made).blocks(22_050, "stereo"))
    assert sum(block.shape[1] for block in blocks) == samples
