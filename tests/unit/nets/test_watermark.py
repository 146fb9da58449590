"""Marks in audio of any length are the network's, window by window, and are read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.nets.audioseal import AudioSealDetector, AudioSealGenerator, load_audioseal
from lipwise_ray.nets.watermark import AudioSealMarker, AudioSealReader
from lipwise_ray.values import F32Array
from tests.support.audioseal import write_detector, write_generator
from tests.support.seeded import GOLDEN, speech_like_wave

_RATE_HZ = 16_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A generator and a detector as they are published."""
    folder = tmp_path_factory.mktemp("audioseal")
    return write_generator(folder / "generator.pth"), write_detector(folder / "detector.pth")


def _blocks(wave: F32Array, length: int) -> Iterator[F32Array]:
    yield from (wave[start : start + length] for start in range(0, len(wave), length))


@pytest.mark.slow
def test_a_long_mark_is_the_networks_and_fades_over_between_windows(files: tuple[Path, Path]) -> None:
    """It is as long as the audio, and the same for any size of blocks; the message is in each window."""
    marker, network = AudioSealMarker(files[0], "cpu"), load_audioseal(AudioSealGenerator, files[0])
    wave, windows = speech_like_wave(11.3), list[None]()
    mark = np.concatenate([*marker.marks(_blocks(wave, 7001), 0xA53C, lambda: windows.append(None))])
    assert len(windows) == 2
    assert len(mark) == len(wave)
    bits = torch.tensor([[int(bit) for bit in f"{0xA53C:016b}"]])
    with torch.inference_mode():
        first, second = (
            network(torch.from_numpy(wave[part])[None, None], bits)[0, 0].numpy()
            for part in (slice(0, 10 * _RATE_HZ), slice(9 * _RATE_HZ, None))
        )
    whole, overlap = slice(0, 9 * _RATE_HZ), slice(9 * _RATE_HZ, 10 * _RATE_HZ)
    assert np.array_equal(mark[whole], first[whole])
    assert np.array_equal(mark[10 * _RATE_HZ :], second[_RATE_HZ:])
    middle = (first[overlap] + second[:_RATE_HZ])[_RATE_HZ // 2] / 2
    assert mark[overlap][_RATE_HZ // 2] == pytest.approx(middle, abs=1e-4)


def test_a_message_decides_the_mark(files: tuple[Path, Path]) -> None:
    """Two messages give two marks, one message the same again."""
    marker, wave = AudioSealMarker(files[0], "cpu"), speech_like_wave(0.3)
    one, other, again = (np.concatenate([*marker.marks([wave], number, lambda: None)]) for number in (1, 2, 1))
    assert np.array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_silence_and_nothing_are_left_alone(files: tuple[Path, Path]) -> None:
    """Where there is no sound there is nothing to mark, and nothing to read."""
    marker = AudioSealMarker(files[0], "cpu")
    (mark,) = marker.marks([np.zeros(500, np.float32)], 7, lambda: None)
    assert not mark.any()
    assert [*marker.marks([], 7, lambda: None)] == []
    found = AudioSealReader(files[1]).detect([])
    assert (found.share, found.message) == (0.0, None)


def test_a_short_reading_is_the_packages(files: tuple[Path, Path]) -> None:
    """The share of marked samples, and the bits from the highest on."""
    found = AudioSealReader(files[1]).detect(_blocks(speech_like_wave(0.2)[:2500], 600))
    wanted = np.load(GOLDEN / "audioseal_detector.npz")
    assert found.share == pytest.approx(float(wanted["share"][0]), abs=2e-3)
    assert found.message == int("".join(str(bit) for bit in wanted["bits"]), 2)


def test_a_long_reading_counts_every_sample_once(files: tuple[Path, Path]) -> None:
    """The windows' middles are put together."""
    network, wave = load_audioseal(AudioSealDetector, files[1]), speech_like_wave(11.3)
    found = AudioSealReader(files[1]).detect(_blocks(wave, 50_000))
    border = 9 * _RATE_HZ + _RATE_HZ // 2
    with torch.inference_mode():
        first = network(torch.from_numpy(wave[: 10 * _RATE_HZ])[None, None])[0][0, :border]
        second = network(torch.from_numpy(wave[9 * _RATE_HZ :])[None, None])[0][0, _RATE_HZ // 2 :]
    assert found.share == pytest.approx(float((torch.cat([first, second]) > 0.5).float().mean()), abs=1e-6)
