"""WAV files that end before their samples do."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lipwise_ray.errors import MediaError
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.synth.clips import ToneSpec, write_sound


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """A second of a tone, 16 bits at 16 kHz."""
    path = tmp_path / "whole.wav"
    write_sound(path, ToneSpec(1.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    return path.read_bytes()


def _read(path: Path, data: bytes, *, salvage: bool = False) -> int:
    path.write_bytes(data)
    reader = AudioReader(probe_audio(path), salvage=salvage)
    return sum(block.shape[1] for block in reader.blocks(16000, "mono"))


def _stating(data: bytes, size: int) -> bytes:
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


def test_one_that_was_cut_off_is_damaged(whole: bytes, tmp_path: Path) -> None:
    """A dub of half a sentence would pass for the whole; what is there can be salvaged."""
    path = tmp_path / "cut.wav"
    with pytest.raises(MediaError, match=r"cut\.wav: holds \d+ of the 32000 bytes of samples .*salvage") as caught:
        _read(path, whole[:20000])
    assert caught.value.code == "damaged"
    assert 9000 < _read(path, whole[:20000], salvage=True) < 10001


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 32044])
def test_one_that_does_not_say_its_length_is_whole(stated: int, whole: bytes, tmp_path: Path) -> None:
    """Writers to pipes cannot know it, and some count the header too."""
    assert _read(tmp_path / "piped.wav", _stating(whole, stated)) == 16000


def test_what_follows_the_samples_is_none(whole: bytes, tmp_path: Path) -> None:
    """Nor are chunks before them."""
    place = whole.index(b"data")
    odd = whole[:place] + b"junk" + struct.pack("<I", 3) + b"abc\0" + whole[place:] + b"LIST\x04\0\0\0INFO"
    assert _read(tmp_path / "odd.wav", odd) == 16000
