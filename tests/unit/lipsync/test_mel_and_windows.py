from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import AudioError
from lipwise_ray.lipsync import mel as mel_module
from lipwise_ray.lipsync.mel import SILENCE, mel_basis, mel_spectrogram, spectrum, write_mel
from lipwise_ray.lipsync.windows import constant_rate_starts, reference_frames, timed_starts, window
from tests.support.seeded import GOLDEN, speech_like_wave

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60)]


def test_same_numbers_as_the_reference() -> None:
    """The mel equals the reference's."""
    reference = np.load(GOLDEN / "wav2lip_mel.npz")["mel"]
    assert np.abs(mel_spectrogram(speech_like_wave(3.0)) - reference).max() < 1e-4


@pytest.mark.parametrize("samples", [1, 2, 150, 399, 400, 401, 1000, 16_000, 401_037])
def test_blocks_do_not_show(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any block length gives the same columns, also for waves shorter than a window."""
    wave = np.random.default_rng(samples).standard_normal(samples).astype(np.float32) * 0.1
    whole = mel_spectrogram(wave)
    assert whole.shape == (80, 1 + samples // 200)
    monkeypatch.setattr(mel_module, "_BLOCK_COLUMNS", 7 if samples < 20_000 else 333)
    assert np.abs(mel_spectrogram(wave) - whole).max() < 1e-5


def test_a_file_of_samples_gives_the_same_mel(tmp_path: Path) -> None:
    """The mel written from a file is the mel of the array, transposed, at half its size and to an eightieth of a dB."""
    wave = speech_like_wave(2.0)
    wave.tofile(tmp_path / "w.f32")
    columns = write_mel(tmp_path / "w.f32", tmp_path / "m.npy")
    assert columns == 161
    written, whole = np.load(tmp_path / "m.npy").T, mel_spectrogram(wave)
    assert np.array_equal(written, whole.astype(np.float16))
    assert np.abs(written.astype(np.float32) - whole).max() <= 2**-10


def test_silence_is_the_lowest_value() -> None:
    """A silent wave gives the value that pads a mel's ends."""
    assert (mel_spectrogram(np.zeros(3200, np.float32)) == SILENCE).all()


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.array([0.1, np.nan, 0.1], np.float32)])
def test_sounds_without_a_mel(wave: np.ndarray) -> None:
    """No samples and NaN are input errors."""
    with pytest.raises(AudioError):
        mel_spectrogram(wave)


def test_first_windows_are_the_originals() -> None:
    """The first columns of the first frames are those of the reference, at each rate."""
    assert constant_rate_starts(12, Fraction(25)).tolist() == [0, 3, 6, 9, 12, 16, 19, 22, 25, 28, 32, 35]
    assert constant_rate_starts(12, Fraction(24)).tolist() == [0, 3, 6, 10, 13, 16, 20, 23, 26, 30, 33, 36]
    assert constant_rate_starts(12, Fraction(30)).tolist() == [0, 2, 5, 8, 10, 13, 16, 18, 21, 24, 26, 29]
    assert constant_rate_starts(12, Fraction(50)).tolist() == [0, 1, 3, 4, 6, 8, 9, 11, 12, 14, 16, 17]


@pytest.mark.parametrize("rate", RATES)
def test_the_order_of_operations_is_the_originals(rate: Fraction) -> None:
    """Over two hours every index equals the reference's expression, and never runs backwards."""
    frames = int(7200 * rate)
    starts = constant_rate_starts(frames, rate)
    fps = float(rate)
    assert all(starts[i] == int(i * (80.0 / fps)) for i in range(0, frames, 97))
    assert (np.diff(starts) >= 0).all()


@pytest.mark.parametrize(
    ("rate", "lost"), [(Fraction(25), 3), (Fraction(24), 3), (Fraction(30), 4), (Fraction(50), 7), (Fraction(60), 9)]
)
def test_the_parity_rule_ends_early_as_the_original(rate: Fraction, lost: int) -> None:
    """Ten seconds of sound lose as many frames as the reference loses."""
    count, starts = reference_frames(1 + 160_000 // 200, rate)
    assert 10 * rate - count == lost
    assert starts[-1] == 801 - 16


@given(
    st.lists(st.integers(1, 9000), min_size=1, max_size=50), st.sampled_from([Fraction(1, 1000), Fraction(1, 90000)])
)
def test_variable_times_use_the_column_at_their_time(steps: list[int], time_base: Fraction) -> None:
    """A frame shown at time t starts at column floor(80 t), exactly."""
    times = np.cumsum([0, *steps]).astype(np.int64)
    assert timed_starts(times, time_base).tolist() == [int(80 * int(t) * time_base) for t in times]


def test_an_offset_moves_the_look_up() -> None:
    """100 ms more look 8 columns later, 100 ms less 8 columns earlier."""
    base = constant_rate_starts(50, Fraction(25))
    assert (constant_rate_starts(50, Fraction(25), 100.0)[::5] - base[::5] == 8).all()
    assert constant_rate_starts(1, Fraction(25), -100.0)[0] == -8


@pytest.mark.parametrize("start", [-20, -8, 0, 3, 95, 99, 200])
def test_a_window_past_an_end_is_padded_with_silence(start: int) -> None:
    """The window has its real columns at their places and silence elsewhere."""
    mel = np.random.default_rng(0).uniform(-3, 3, (100, 80)).astype(np.float32)
    got = window(mel, start)
    padded = np.full((400, 80), SILENCE, np.float32)
    padded[100:200] = mel
    assert np.array_equal(got, padded[100 + start : 116 + start].T)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [800, 801, 1000, 40_000])
def test_the_transform_is_the_published_ones_to_the_bit(samples: int) -> None:
    """Wav2Lip was trained on librosa's numbers: states made with it go on, and their mels are the same files."""
    wave = (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)
    expected = librosa.stft(y=wave, n_fft=800, hop_length=200, win_length=800, window="hann", center=False)
    assert np.array_equal(spectrum(wave), expected)
    assert np.array_equal(mel_basis(), librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55.0, fmax=7600.0))
