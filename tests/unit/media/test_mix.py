"""Sounds put together: each at its place, at its loudness, cut where it was asked."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.channels import channel_names, routes
from lipwise_ray.media.mix import AudioClip, mix
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.samples import samples_of
from lipwise_ray.synth.clips import ToneSpec, write_sound


def _clip(path: Path, start_s: float = 0.0, end_s: float | None = None) -> AudioClip:
    info = probe_audio(path)
    return AudioClip(info, extract_network_audio(info, path.with_suffix(".f32")), start_s, end_s)


def _wave(path: Path) -> Any:
    """Return all channels, shape (channels, samples), in [-1, 1]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp")
        pieces = [piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1)


def _packed(path: Path) -> Any:
    """Return all channels of any number of them, shape (channels, samples)."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt")
        pieces = [samples_of(piece) for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1)


def _tone(path: Path, seconds: float, **changes: Any) -> Path:
    write_sound(path, ToneSpec(seconds, **{"codec": "pcm_s16le", "rate_hz": 48000, **changes}))
    return path


def test_each_sound_stands_at_its_place(tmp_path: Path) -> None:
    """Start and end are exact to the sample, silence fills gaps, and an end past the sound's own changes nothing."""
    one = _tone(tmp_path / "one.wav", 1.5)
    mix([_clip(one, 0.25), _clip(one, 2.0, 2.5), _clip(one, 3.0, 6.0)], tmp_path / "m.mka")
    alone, found = _wave(one)[0], _wave(tmp_path / "m.mka")[0]
    wanted = np.zeros(round(4.5 * 48000), np.float32)
    wanted[12000 : 12000 + 72000] += alone
    wanted[96000:120000] += alone[:24000]
    wanted[144000 : 144000 + 72000] += alone
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < 1e-6


def test_what_a_layout_lacks_is_folded_into_its_front() -> None:
    """Centre and surrounds come 3 dB down, the bass channel not at all; what a layout has stays as it is."""
    found = routes(channel_names("5.1"), channel_names("stereo"))
    assert np.allclose(found, [[1, 0, 0.7071, 0, 0.7071, 0], [0, 1, 0.7071, 0, 0, 0.7071]])
    assert np.array_equal(routes(channel_names("5.1(side)"), channel_names("5.1")), np.eye(6))
    assert routes(channel_names("downmix"), channel_names("stereo")).tolist() == [[1, 0], [0, 1]]


def test_the_sum_is_made_quieter_where_it_would_clip(tmp_path: Path) -> None:
    """All of it by one factor, so that nothing else changes."""
    one = _tone(tmp_path / "one.wav", 1.0)
    mix([_clip(one)] * 8, tmp_path / "m.mka")
    alone, found = _wave(one), _wave(tmp_path / "m.mka")
    assert np.abs(8 * alone).max() > 1
    assert np.abs(found).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(found - alone * (np.abs(found).max() / np.abs(alone).max())).max() < 1e-6


@pytest.mark.parametrize("first", [("one.wav", {"channels": 1}), ("one.m4a", {"codec": "aac", "channels": 2})])
def test_rates_and_channels_come_together(tmp_path: Path, first: tuple[str, dict[str, Any]]) -> None:
    """The highest rate and the most channels win, and a click keeps its place in time."""
    name, changes = first
    clips = [
        _clip(_tone(tmp_path / name, 1.5, **changes)),
        _clip(_tone(tmp_path / "two.wav", 1.5, rate_hz=22050, channels=1), 2.0),
    ]
    mix(clips, tmp_path / "m.mka")
    found = _wave(tmp_path / "m.mka")
    assert found.shape[0] == changes["channels"]
    assert abs(found.shape[1] / 48000 - 3.5) < 0.001
    later = np.abs(found[0, round(2.5 * 48000) : round(3.4 * 48000)])
    assert abs(float(np.argmax(later > 0.6 * later.max())) / 48000 - 0.5) < 0.004


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_one_channel_keeps_its_loudness_among_more(tmp_path: Path, channels: int) -> None:
    """It goes to both front channels as it is, and is as loud for the networks as it is alone."""
    one = _tone(tmp_path / "one.wav", 1.0, channels=1)
    many = _tone(tmp_path / "many.wav", 1.0, channels=channels)
    info = mix([_clip(one), _clip(many, 2.0)], tmp_path / "m.mka")
    assert (info.channels, info.layout) == (channels, {2: "stereo", 6: "5.1", 8: "7.1"}[channels])
    (alone,) = _packed(one)
    found = _packed(tmp_path / "m.mka")
    assert np.abs(found[:2, :48000] - alone).max() < 1e-6
    assert np.abs(found[2:, :48000]).max(initial=0) == 0
    assert np.abs(found[:, 96000:] - _packed(many)).max() < 1e-6


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    """A sound is closed once it was heard to its end."""
    one = _clip(_tone(tmp_path / "one.wav", 1.0, rate_hz=8000))
    most = 0

    def count() -> None:
        nonlocal most
        most = max(
            most,
            sum("one.wav" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()),
        )

    mix([AudioClip(one.info, one.sound, float(n), n + 0.5) for n in range(60)], tmp_path / "m.mka", on_block=count)
    assert most <= 12  # a block has 8 seconds


@pytest.mark.slow
def test_an_hour_takes_no_memory(tmp_path: Path) -> None:
    """Sounds are added block by block."""
    one = _tone(tmp_path / "one.wav", 2.0, rate_hz=8000)
    mix([_clip(one)], tmp_path / "warm.mka")
    tracemalloc.start()
    mix([_clip(one, 0.0), _clip(one, 3598.0)], tmp_path / "m.mka")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8e6
    with av.open(str(tmp_path / "m.mka")) as container:
        assert Fraction(container.duration or 0, 1_000_000) == pytest.approx(3600, abs=0.01)
