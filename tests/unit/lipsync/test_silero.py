"""silero-vad through ONNX Runtime."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speech import BACKGROUNDS, Said, at_level, by_network, measure, mixed, recorded, synthesised
from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync import silero
from lipwise_ray.lipsync.mel import MEL_RATE_HZ, SAMPLE_RATE_HZ, mel_columns
from lipwise_ray.lipsync.silero import CONTEXT_SAMPLES, SileroVad, with_context
from lipwise_ray.lipsync.voice_activity import WINDOW_SAMPLES, spoken
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder

LEAST = 0.9


@pytest.fixture(scope="module")
def weights() -> Path:
    """The file in the package silero-vad."""
    return Registry(models_folder() / "registry.toml", Path("nowhere")).resolve("silero_vad").path


@pytest.fixture(scope="module")
def vad(weights: Path) -> SileroVad:
    return SileroVad(weights)


@pytest.fixture(scope="module")
def said() -> Said:
    """Sentences of several voices between pauses."""
    return synthesised()


def _speech_fits(said: Said, vad: SileroVad, wave: np.ndarray) -> None:
    found = measure(by_network(vad)(wave), said.truth)
    assert found.recall >= LEAST, found
    assert found.precision >= LEAST, found
    assert found.worst_pause < 0.1, found


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("below_db", [30, 10])
def test_speech_is_found_under_backgrounds(background: str, below_db: float, said: Said, vad: SileroVad) -> None:
    """Nine tenths of it, and pauses stay pauses, down to 10 dB between speech and background."""
    _speech_fits(said, vad, mixed(said, background, below_db))


@pytest.mark.parametrize("level_db", [0, -20, -50, -60])
def test_speech_is_found_at_any_level(level_db: float, said: Said, vad: SileroVad) -> None:
    """From full scale to 60 dB below, also where only a few of 16 bits are left."""
    wave = at_level(said.wave, level_db, said.truth)
    _speech_fits(said, vad, (np.round(wave * 32768) / 32768).astype(np.float32))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_recorded_voice_is_found_under_backgrounds(background: str, vad: SileroVad, shared: Path) -> None:
    """The same of a real recording, and at 50 dB below full scale."""
    voice = recorded(shared / "clips" / "speech_en.wav")
    for level_db in (-20, -50):
        _speech_fits(voice, vad, mixed(voice, background, 10, level_db))


@pytest.mark.parametrize("noise", [1e-4, 1e-3, 5e-3])
def test_words_after_a_minute_of_noise_are_found(noise: float, vad: SileroVad, shared: Path) -> None:
    """What is heard of a sentence alone is heard of it after a long pause that is not quite silent."""
    info = probe_audio(shared / "clips" / "speech_en.wav")
    wave = np.concatenate(list(AudioReader(info).blocks(SAMPLE_RATE_HZ, "mono")), 1)[0]
    words = wave[round(3.15 * SAMPLE_RATE_HZ) : 6 * SAMPLE_RATE_HZ]
    hiss = np.random.default_rng(0).normal(scale=noise, size=60 * SAMPLE_RATE_HZ).astype(np.float32)
    alone, later = (by_network(vad)(one) for one in (words, np.concatenate([hiss, words])))
    pause = 60 * MEL_RATE_HZ
    assert later[pause : pause + len(alone)][alone].mean() > LEAST
    assert not later[: pause - MEL_RATE_HZ // 4].any()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("level_db", [-50, -20, 0])
def test_backgrounds_alone_are_a_pause(background: str, level_db: float, vad: SileroVad) -> None:
    """Music, a beat or noise is no speech at any level."""
    wave = at_level(BACKGROUNDS[background](10 * SAMPLE_RATE_HZ), level_db).astype(np.float32)
    assert not by_network(vad)(wave).any()


@pytest.mark.parametrize("samples", [0, 1, 200, 512, 8000, 80_000])
def test_silence_of_any_length_is_a_pause(samples: int, vad: SileroVad) -> None:
    """Digital silence and a constant are no speech, however short."""
    for value in (0.0, 0.5):
        probability = vad(np.full(samples, value, np.float32))
        assert len(probability) == -(-samples // WINDOW_SAMPLES)
        assert not spoken(probability, mel_columns(samples), 0.3).any()


def test_a_word_in_half_a_second_is_found(said: Said, vad: SileroVad) -> None:
    """Audio of less than a second can hold speech."""
    start = int(np.argmax(said.truth)) * 200
    word = said.wave[start : start + SAMPLE_RATE_HZ // 2].astype(np.float32)
    assert by_network(vad)(word).mean() > 0.6


def test_quiet_speech_beside_loud_is_found_and_leaks_are_not(said: Said, vad: SileroVad) -> None:
    """A scene 30 dB below another is speech; a voice 60 dB below, which leaked into the recording, is none."""
    for below_db, least, most in ((30, LEAST, 1.0), (60, 0.0, 0.1)):
        loud, quiet = (at_level(said.wave, level_db, said.truth) for level_db in (-20, -20 - below_db))
        wave = np.concatenate([loud, quiet])
        found = by_network(vad)(wave.astype(np.float32))[-len(said.truth) :]
        assert least <= found[said.truth].mean() <= most, below_db


def test_windows_take_the_samples_before_them() -> None:
    """Each window of 512 comes with the 64 before it; the first with what was before the block."""
    samples = np.arange(CONTEXT_SAMPLES + 3 * WINDOW_SAMPLES, dtype=np.float32)
    windows = with_context(samples)
    assert windows.shape == (3, 576)
    assert [row[0] for row in windows] == [0, 512, 1024]
    assert [row[-1] for row in windows] == [575, 1087, 1599]


def test_blocks_do_not_show(said: Said, vad: SileroVad, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and context go on from block to block: in blocks of any size the probabilities are the same."""
    wave = said.wave.astype(np.float32)
    whole = vad(wave)
    for windows in (1, 7, 100):
        monkeypatch.setattr(silero, "_BLOCK_WINDOWS", windows)
        assert np.abs(vad(wave) - whole).max() < 1e-4


@pytest.mark.slow
def test_a_mapped_file_is_never_whole_in_memory(said: Said, vad: SileroVad, tmp_path: Path) -> None:
    """Ten minutes take no more memory than two, and somebody hears of it now and then."""
    peaks, told = [], []
    for minutes in (2, 10):
        wave = np.resize(said.wave.astype(np.float32), minutes * 60 * SAMPLE_RATE_HZ)
        wave.tofile(tmp_path / "wave.f32")
        mapped = np.memmap(tmp_path / "wave.f32", np.float32, "r")
        del wave
        vad(mapped[: 20 * SAMPLE_RATE_HZ])
        blocks: list[None] = []
        tracemalloc.start()
        vad(mapped, lambda blocks=blocks: blocks.append(None))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        told.append(len(blocks))
    assert peaks[1] < 1.5 * peaks[0]
    assert told[0] >= 8
    assert told[1] >= 37


def test_other_files_are_refused(weights: Path, tmp_path: Path) -> None:
    """One that is cut off, and silero's network for single windows, which takes other inputs."""
    (tmp_path / "cut.onnx").write_bytes(weights.read_bytes()[:50_000])
    with pytest.raises(WeightsError, match=r"cut\.onnx: ONNX Runtime cannot load it") as cut:
        SileroVad(tmp_path / "cut.onnx")
    assert cut.value.code == "not_onnx"
    with pytest.raises(WeightsError, match="a network with the inputs input, state, sr"):
        SileroVad(weights.with_name("silero_vad.onnx"))
