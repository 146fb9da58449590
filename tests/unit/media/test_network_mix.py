"""What the networks hear: the channels that hold the speech, at one loudness."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.lipsync.mel import SILENCE, write_mel
from lipwise_ray.lipsync.voice_activity import voiced
from lipwise_ray.media.audio import DecodedAudio, extract_network_audio
from lipwise_ray.media.network_mix import MOST_GAIN_DB, NETWORK_LUFS
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.samples import frame_of
from lipwise_ray.pipeline.inputs.records import heard_record

_RATE_HZ = 16000


def _speech(seconds: float = 3.0) -> Any:
    """Return something like speech: harmonics that swell and pause."""
    t = np.arange(round(seconds * _RATE_HZ)) / _RATE_HZ
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 20))
    return 0.1 * voice * (np.sin(2 * np.pi * 2 * t) > -0.3)


def _write(path: Path, channels: Any, layout: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_f32le", rate=_RATE_HZ, layout=layout)
        frame = frame_of(np.asarray(channels, np.float32), "flt", layout, _RATE_HZ)
        frame.pts, frame.time_base = 0, Fraction(1, _RATE_HZ)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _heard(path: Path) -> tuple[DecodedAudio, Any]:
    sound = extract_network_audio(probe_audio(path), path.with_suffix(".f32"))
    return sound, np.fromfile(path.with_suffix(".f32"), np.float32)


def _mel(path: Path) -> Any:
    sound, _ = _heard(path)
    write_mel(path.with_suffix(".f32"), path.with_suffix(".npy"), gain=sound.heard.gain)
    return np.load(path.with_suffix(".npy"))


_VOICE, _NOISE = _speech(), 0.02 * np.random.default_rng(0).standard_normal(3 * _RATE_HZ)
_NOTHING = np.zeros_like(_VOICE)


@pytest.mark.parametrize(
    ("layout", "channels", "mix"),
    [
        ("mono", [_VOICE], "mono"),
        ("stereo", [_VOICE, _VOICE], "sum"),
        ("stereo", [_VOICE + _NOISE, _VOICE - _NOISE], "sum"),
        ("stereo", [_VOICE, -_VOICE], "difference"),
        ("stereo", [_VOICE, -0.7 * _VOICE + _NOISE], "difference"),
        ("stereo", [_VOICE, _NOTHING], "FL"),
        ("stereo", [0.01 * _NOISE, _VOICE], "FR"),
        ("5.1", [_NOISE, _NOISE, _VOICE, _VOICE, _NOISE, _NOISE], "FC"),
        ("5.1", [_VOICE, _VOICE, _NOTHING, _NOISE, _NOTHING, _NOTHING], "sum"),
        ("5.1", [_VOICE, -_VOICE, 0.001 * _NOISE, 5 * _VOICE, _NOTHING, _NOTHING], "difference"),
        ("5.1", [_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _VOICE], "BR"),
    ],
)
def test_the_mix_keeps_the_speech(layout: str, channels: Any, mix: str, tmp_path: Path) -> None:
    """Opposite phase does not cancel out, one side is not halved, the centre comes first, and results say which."""
    sound, wave = _heard(_write(tmp_path / "s.mkv" if layout != "mono" else tmp_path / "m.wav", channels, layout))
    assert sound.heard.mixes == {layout: mix}
    assert heard_record(sound).mix == mix
    corner = slice(_RATE_HZ // 2, -_RATE_HZ // 2)
    wanted = _VOICE[corner]
    share = float(np.dot(wave[corner], wanted) / np.dot(wanted, wanted))
    assert 0.8 < share < 1.1
    assert np.abs(wave[corner] - share * wanted).max() < 0.15


@pytest.mark.parametrize("db", [-24.0, 12.0])
def test_level_does_not_change_what_is_heard(db: float, tmp_path: Path) -> None:
    """The same speech, quieter or louder, gives the same mel, and its pauses."""
    reference = _mel(_write(tmp_path / "a.wav", [_VOICE], "mono"))
    found = _mel(_write(tmp_path / "b.wav", [_VOICE * 10 ** (db / 20)], "mono"))
    assert np.abs(found - reference).max() < 0.06
    assert (voiced(found, 0.1) == voiced(reference, 0.1)).mean() > 0.98


def test_silence_stays_silent(tmp_path: Path) -> None:
    """What holds no speech is not made louder: neither a silent sound nor the hiss of an open microphone."""
    assert (_mel(_write(tmp_path / "a.wav", [_NOTHING], "mono")) == SILENCE).all()
    hiss = _write(tmp_path / "b.wav", [_NOISE * 0.01], "mono")
    assert _heard(hiss)[0].heard.gain == 1.0
    assert not voiced(_mel(hiss), 0.3).any()


def test_long_silence_does_not_count(tmp_path: Path) -> None:
    """A sentence in a minute of silence is as loud as the sentence alone; gain is bounded."""
    alone, _ = _heard(_write(tmp_path / "a.wav", [_VOICE], "mono"))
    amid, _ = _heard(_write(tmp_path / "b.wav", [np.pad(_VOICE, (30 * _RATE_HZ, 30 * _RATE_HZ))], "mono"))
    assert alone.heard.lufs is not None
    assert amid.heard.lufs == pytest.approx(alone.heard.lufs, abs=0.5)
    assert 20 * np.log10(alone.heard.gain) == pytest.approx(NETWORK_LUFS - alone.heard.lufs, abs=0.01)
    faint, _ = _heard(_write(tmp_path / "c.wav", [_VOICE * 10 ** (-40 / 20)], "mono"))
    assert 20 * np.log10(faint.heard.gain) <= MOST_GAIN_DB + 1e-6


def test_a_word_is_measured_too(tmp_path: Path) -> None:
    """A sound shorter than the measure's stretch of 0.4 s is as loud as a longer one of the same level."""
    tone = (0.1 * np.sin(np.arange(_RATE_HZ) * 2 * np.pi * 440 / _RATE_HZ)).astype(np.float32)
    long, _ = _heard(_write(tmp_path / "a.wav", [tone], "mono"))
    for name, samples in (("b", _RATE_HZ // 4), ("c", _RATE_HZ // 20)):
        word, _ = _heard(_write(tmp_path / f"{name}.wav", [tone[:samples]], "mono"))
        assert word.heard.lufs == pytest.approx(long.heard.lufs, abs=0.3)
