from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.media.audio import NETWORK_RATE_HZ, extract_network_audio
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, tone, write_clip, write_sound


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_any_sound_becomes_mono_16_khz(rate_hz: int, channels: int, tmp_path: Path) -> None:
    """Length, loudness and pitch survive every rate and channel count."""
    spec = ToneSpec(1.7, rate_hz=rate_hz, channels=channels, codec="pcm_s16le", tone_hz=440)
    write_sound(tmp_path / "a.wav", spec)
    sound = extract_network_audio(probe_audio(tmp_path / "a.wav"), tmp_path / "a.f32")
    assert sound.duration_s == Fraction(round(1.7 * rate_hz), rate_hz)
    wave = np.fromfile(tmp_path / "a.f32", np.float32)
    assert abs(len(wave) - 1.7 * NETWORK_RATE_HZ) <= 2
    spectrum = np.abs(np.fft.rfft(wave[1600:24000] * np.hanning(22400)))
    assert abs(np.argmax(spectrum) * NETWORK_RATE_HZ / 22400 - 440) < 3
    mono = tone(spec)[0]
    loudness = np.sqrt(np.mean(wave**2)) / np.sqrt(np.mean(mono**2))
    # 5.1 carries the same tone in the low-frequency channel, which is left out.
    assert 0.9 < loudness < 1.1


def test_a_click_stays_where_it_is(tmp_path: Path) -> None:
    """Resampling does not move the sound: the click of second 1 is at second 1."""
    for name, codec, rate_hz in (
        ("a.wav", "pcm_s16le", 44100),
        ("a.m4a", "aac", 48000),
        ("a.mp3", "libmp3lame", 44100),
    ):
        write_sound(tmp_path / name, ToneSpec(2.5, rate_hz=rate_hz, codec=codec, tone_hz=50))
        extract_network_audio(probe_audio(tmp_path / name), tmp_path / "a.f32")
        wave = np.fromfile(tmp_path / "a.f32", np.float32)
        loud = np.abs(wave[8000:24000])
        first = 8000 + int(np.argmax(loud > 0.5 * loud.max()))
        assert abs(first / NETWORK_RATE_HZ - 1.0) < 0.004, name


def test_sound_that_starts_late_in_a_video_is_led_by_silence(tmp_path: Path) -> None:
    """The sound track of a video file keeps its place on the video's clock."""
    import av

    write_clip(tmp_path / "v.mp4", ClipSpec(frames=50, tone=ToneSpec(1.0, codec="aac")))
    with av.open(str(tmp_path / "v.mp4")) as source, av.open(str(tmp_path / "late.mkv"), "w") as target:
        outs = {s.index: target.add_stream_from_template(s) for s in (source.streams.video[0], source.streams.audio[0])}
        for packet in source.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    packet.pts += 24000
                    packet.dts += 24000
                packet.stream = outs[packet.stream.index]
                target.mux_one(packet)
    info = probe_audio(tmp_path / "late.mkv")
    assert abs(float(info.lead_s) - 0.48) < 0.05
    sound = extract_network_audio(info, tmp_path / "a.f32")
    assert abs(float(sound.duration_s) - 1.5) < 0.06


def test_one_sample_is_a_sound(tmp_path: Path) -> None:
    """A wave of one sample gives at least one sample for the network."""
    import wave

    with wave.open(str(tmp_path / "one.wav"), "wb") as file:
        file.setparams((1, 2, 48000, 1, "NONE", ""))
        file.writeframes(b"\0\1")
    sound = extract_network_audio(probe_audio(tmp_path / "one.wav"), tmp_path / "a.f32")
    assert sound.samples == 1
    assert (tmp_path / "a.f32").stat().st_size >= 4
