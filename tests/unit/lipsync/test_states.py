"""States of Whisper's encoder: its spectrogram, pieces of long audio, and the window of a frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import AudioError, WeightsError
from lipwise_ray.lipsync.audio_features import (
    LATENTSYNC_STATES,
    STATE_CHANNELS,
    STATES_A_STEP,
    WHISPER_STATES,
    AudioFeature,
)
from lipwise_ray.lipsync.mel import mel_bands
from lipwise_ray.lipsync.state_windows import state_window
from lipwise_ray.lipsync.whisper_mel import whisper_mel
from lipwise_ray.lipsync.whisper_spectra import STEP_SAMPLES, PieceSpectra, WholeSpectra
from lipwise_ray.lipsync.whisper_states import WhisperStates, pieces
from lipwise_ray.lipsync.windows import timed_starts
from lipwise_ray.nets.whisper_encoder import WhisperEncoder, WhisperShape
from tests.support.latent_models import PIECE_STEPS, write_musetalk
from tests.support.seeded import speech_like_wave

STEPS = 400
NUMBERED = np.broadcast_to(np.arange(1, STEPS + 1, dtype=np.float32)[:, None, None], (STEPS, 5, 384))
SILENCE = np.full((5, 384), -1, np.float32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> WhisperStates:
    """Yield a seeded encoder that hears 3 s at once."""
    return WhisperStates(Path(write_musetalk(tmp_path_factory.mktemp("whisper"))["audio_encoder_checkpoint"]))


def _states(encoder: WhisperStates, folder: Path, wave: np.ndarray, gain: float = 1.0) -> np.ndarray:
    encoder.write(wave.astype(np.float32), folder / "states.npy", gain=gain, on_block=lambda: None)
    return np.load(folder / "states.npy").astype(np.float32)


def _published_window(frame: int, rate: Fraction) -> list[int]:
    """Return the numbers in a frame's window by the published rule, which counts whole frames a second; 0 outside.

    Source: MuseTalk utils/audio_processor.py, get_whisper_chunk.
    """
    steps_a_frame = 50 / int(rate)
    padding = int(np.ceil(steps_a_frame)) * 2
    row = [0] * padding + list(range(1, STEPS + 1)) + [0] * 3 * padding
    first = int(np.floor(frame * steps_a_frame))
    return row[first : first + 10]


def _own_window(frame: int, rate: Fraction) -> list[int]:
    step = int(timed_starts(np.array([frame]), 1 / rate, rate_hz=50)[0])
    window = state_window(NUMBERED, SILENCE, step, WHISPER_STATES)
    assert window.shape == (50, 384)
    tokens = window.reshape(10, STATES_A_STEP, STATE_CHANNELS)
    assert (tokens == tokens[:, :1, :1]).all()
    return [int(number) for number in tokens[:, 0, 0]]


def test_at_25_frames_a_second_windows_are_the_published_ones() -> None:
    """What MuseTalk was trained at is kept: 80 ms before to 120 ms after, zeros before the audio and behind it."""
    for frame in range(STEPS // 2 + 2):
        assert _own_window(frame, Fraction(25)) == _published_window(frame, Fraction(25))


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "50"])
def test_windows_stay_around_the_frames_time(rate: str) -> None:
    """At all rates they begin 4 steps before the one of a frame's exact time."""
    exact = Fraction(rate)
    for frame in (10, 11, 97, 150):
        step = int(frame / exact * 50)
        assert _own_window(frame, exact) == list(range(step - 3, step + 7))


@pytest.mark.parametrize(("rate", "later"), [(24, -2), (50, 2)])
def test_the_published_rule_moves_with_the_rate(rate: int, later: int) -> None:
    """There it gave 40 ms of lag at the one rate and of lead at the other, beside what it was trained at."""
    frame, exact = 24, Fraction(rate)
    assert _published_window(frame, exact)[0] == _own_window(frame, exact)[0] + later


def test_lips_do_not_drift_at_ntsc_rates() -> None:
    """After 7 s at 29.97 the published rule is 12 steps, a quarter of a second, ahead of the audio's time."""
    rate = Fraction(30000, 1001)
    frame = int(7 * rate)
    assert abs(_own_window(frame, rate)[4] - 7 * 50) <= 2
    assert _published_window(frame, rate)[4] - _own_window(frame, rate)[4] == 12


def test_pauses_are_silent_states() -> None:
    """Steps whose time lies in a pause are those of silence; others, and what is outside of the audio, are not."""
    pauses = np.array([[16, 24]])  # 0.2 s to 0.3 s: steps 10 to 14
    window = state_window(NUMBERED, SILENCE, 9, WHISPER_STATES, pauses).reshape(10, 5, 384)[:, 0, 0]
    assert window.tolist() == [6, 7, 8, 9, 10, -1, -1, -1, -1, -1]
    assert state_window(NUMBERED, SILENCE, -20, WHISPER_STATES, np.array([[0, 99]])).max() == 0
    assert state_window(NUMBERED, SILENCE, 1, WHISPER_STATES, np.array([[0, 99]])).reshape(10, -1)[:, 0].tolist() == (
        [0, 0, 0] + [-1] * 7
    )


def test_latentsync_repeats_the_ends_of_the_audio() -> None:
    """Beyond an end its windows hold the first or last step, not zeros; inside they are MuseTalk's."""

    def numbers(step: int) -> list[float]:
        return state_window(NUMBERED, SILENCE, step, LATENTSYNC_STATES).reshape(10, -1)[:, 0].tolist()

    assert numbers(1) == [1, 1, 1, 1, 2, 3, 4, 5, 6, 7]
    assert numbers(STEPS + 2) == [STEPS - 1, *[STEPS] * 9]
    assert numbers(50) == state_window(NUMBERED, SILENCE, 50, WHISPER_STATES).reshape(10, -1)[:, 0].tolist()


def test_a_mouth_does_not_stay_open_behind_the_audio() -> None:
    """A video that goes on for long after the audio, or begins long before it, hears silence there."""

    def numbers(step: int) -> list[float]:
        return state_window(NUMBERED, SILENCE, step, LATENTSYNC_STATES).reshape(10, -1)[:, 0].tolist()

    assert numbers(STEPS + 7) == [*[STEPS] * 7, *[-1] * 3]
    assert numbers(STEPS + 100) == numbers(-100) == [-1] * 10
    assert numbers(-7) == [-1] + [1] * 9


def test_latentsync_hears_one_spectrogram() -> None:
    """One loudest moment counts in all pieces, and behind the audio are zeros; the columns are those of the whole."""
    wave = np.concatenate([speech_like_wave(2) * np.float32(1e-3), speech_like_wave(3)[:-77]]).astype(np.float32)
    whole = WholeSpectra(wave, 1.0)
    assert whole.steps == len(wave) // STEP_SAMPLES
    parts = np.concatenate([whole.piece(start, 50) for start in (0, 50, 100, 150, 200)], axis=1)
    columns = len(wave) // 160
    expected = whisper_mel(wave)
    assert np.abs(parts[:, :columns] - expected).max() < 1e-6
    assert (parts[:, columns:] == 0).all()
    assert np.abs(whole.piece(0, 50) - PieceSpectra(wave, 1.0).piece(0, 50)).max() > 0.5
    assert whole.silence(10).min() == whole.silence(10).max() == expected.min()


@pytest.mark.parametrize("samples", [1, 160, 319])
def test_latentsync_hears_the_shortest_audio(samples: int, tmp_path: Path) -> None:
    """Less than a step of audio is one step; NaN in it is the audio's fault."""
    checkpoint = Path(write_musetalk(tmp_path / "m")["audio_encoder_checkpoint"])
    hears = WhisperStates(checkpoint, LATENTSYNC_STATES)
    assert len(_states(hears, tmp_path, speech_like_wave(1)[:samples])) == 2
    with pytest.raises(AudioError) as caught:
        _states(hears, tmp_path, np.full(samples, np.nan))
    assert caught.value.code == "not_finite"


def test_the_spectrogram_is_whispers() -> None:
    """It is what transformers computes for the published models, and its bands are librosa's."""
    librosa = pytest.importorskip("librosa", reason="librosa is not installed (extra dev)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra dev)")
    assert np.array_equal(mel_bands(400, 0.0, 8000.0), librosa.filters.mel(sr=16000, n_fft=400, n_mels=80))
    wave = speech_like_wave(4)
    extractor = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=5)
    expected = extractor(wave, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    own = whisper_mel(np.pad(wave, (0, 16_000)))
    assert own.shape == expected.shape == (80, 500)
    assert np.abs(own - expected).max() < 1e-5


@given(st.integers(1, 5000), st.integers(6, 1500))
def test_pieces_give_every_step_once(steps: int, piece: int) -> None:
    """Each step is kept of one piece, which hears a sixth of its length on both sides of it, or an end."""
    expected = 0
    for start, low, high in pieces(steps, piece):
        assert low == expected < high <= start + piece
        assert start == 0 or low - start >= piece // 6
        assert high == steps or start + piece - high >= piece // 6
        expected = high
    assert expected == steps


@pytest.mark.parametrize("feature", [WHISPER_STATES, LATENTSYNC_STATES], ids=["musetalk", "latentsync"])
def test_no_seam_is_heard(feature: AudioFeature, tmp_path: Path) -> None:
    """Audio that is cut elsewhere has nearly the same states; at the seams of pieces that are alone they are others."""
    import torch

    torch.manual_seed(0)
    encoder = WhisperEncoder(WhisperShape(steps=PIECE_STEPS))
    torch.nn.init.zeros_(encoder.embed_positions.weight)  # a place in a piece is told in each state, seam or none
    torch.save(encoder.state_dict(), tmp_path / "whisper.pth")
    states = WhisperStates(tmp_path / "whisper.pth", feature)
    wave, later, seam = np.tile(speech_like_wave(1), 8), 37, PIECE_STEPS
    whole = _states(states, tmp_path, wave)[:-1]
    other = np.concatenate([whole[:later], _states(states, tmp_path, wave[later * STEP_SAMPLES :])[:-1]])
    alone = np.concatenate([_states(states, tmp_path, one)[:-1] for one in np.split(wave, [48_000, 96_000])])

    def apart(one: np.ndarray, at: slice) -> float:
        return float(np.abs(one - whole)[at].mean(axis=(1, 2)).max() / whole.std())

    assert apart(other, slice(later + PIECE_STEPS // 6, -PIECE_STEPS // 6)) < 0.02
    assert apart(alone, slice(seam - 5, seam + 5)) > 0.05


def test_audio_is_heard_as_loud_as_the_mel_has_it(encoder: WhisperStates, tmp_path: Path) -> None:
    """A gain is that of the samples, and the states of silence come last, the same for all audio."""
    wave = speech_like_wave(1)
    louder, alike = _states(encoder, tmp_path, wave, 2.0), _states(encoder, tmp_path, wave * 2)
    assert np.array_equal(louder, alike)
    assert louder.shape == (51, STATES_A_STEP, STATE_CHANNELS)
    assert np.array_equal(louder[-1], _states(encoder, tmp_path, wave)[-1])


@pytest.mark.parametrize(("samples", "code"), [(0, "no_samples"), (1, "not_finite")])
def test_audio_that_cannot_be_heard(samples: int, code: str, encoder: WhisperStates, tmp_path: Path) -> None:
    """No samples, and such as are no numbers, are the audio's fault."""
    with pytest.raises(AudioError) as caught:
        _states(encoder, tmp_path, np.full(samples, np.nan))
    assert caught.value.code == code


def test_other_files_are_no_encoder(tmp_path: Path) -> None:
    """Another network's file is told by its tensors."""
    other = write_musetalk(tmp_path / "m")["autoencoder_checkpoint"]
    with pytest.raises(WeightsError, match="not a checkpoint of Whisper's tiny encoder"):
        WhisperStates(Path(other))
