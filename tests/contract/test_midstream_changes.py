"""A parameter changes at frame 25: every reader goes on, and keeps time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.join import container_for
from lipwise_ray.media.loudness import loudness
from lipwise_ray.media.mix import AudioClip, mix, write_line
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.soundtrack import plan_soundtrack, write_soundtrack
from lipwise_ray.media.verify import check_sound
from lipwise_ray.pipeline.analysis.crops import read_wave
from lipwise_ray.synth.clips import ToneSpec, write_sound

# Codec, ending, samples a packet, and the rate and channels before and after the change.
AUDIO_CHANGES = {
    "channels": ("aac", ".aac", 1024, (44100, 2), (44100, 1)),
    "layout": ("ac3", ".ac3", 1536, (48000, 2), (48000, 6)),
    "rate": ("libmp3lame", ".mp3", 1152, (44100, 1), (48000, 1)),
    "both": ("libmp3lame", ".mp3", 1152, (48000, 1), (44100, 2)),
    "falling rate": ("aac", ".aac", 1024, (48000, 1), (22050, 1)),
}


def _part(path: Path, codec: str, samples: int, rate_hz: int, channels: int, packets: int) -> bytes:
    """Return the file of so many packets of a tone, and no others."""
    write_sound(path, ToneSpec(samples * packets / rate_hz, rate_hz=rate_hz, channels=channels, codec=codec))
    with av.open(str(path)) as container:
        return b"".join([bytes(packet) for packet in container.demux(audio=0) if packet.size][:packets])


def changing_audio(folder: Path, change: str) -> tuple[Path, Fraction]:
    """Return a sound whose parameters change after 25 packets, and its length."""
    codec, ending, samples, *sides = AUDIO_CHANGES[change]
    parts = [_part(folder / f"{n}{ending}", codec, samples, *side, 25) for n, side in enumerate(sides)]
    path = folder / f"changing{ending}"
    path.write_bytes(b"".join(parts))
    return path, sum((Fraction(25 * samples, rate_hz) for rate_hz, _ in sides), Fraction(0))


def _hear(info: AudioInfo, folder: Path) -> Fraction:
    sound = extract_network_audio(info, folder / "wave.f32")
    assert sound.changes >= 1
    assert abs((folder / "wave.f32").stat().st_size // 4 - sound.duration_s * 16000) <= 1
    return sound.duration_s


def _read(info: AudioInfo, _folder: Path) -> Fraction:
    blocks = list(AudioReader(info).blocks(info.rate_hz, info.layout))
    return Fraction(sum(block.shape[1] for block in blocks), info.rate_hz)


def _deliver(info: AudioInfo, folder: Path) -> Fraction:
    sound = extract_network_audio(info, folder / "wave.f32")
    for name in ("o.mp4", "o.mkv", "o.webm"):
        plan = plan_soundtrack(sound.described(info), sound, container_for(folder / name), "auto", 0, sound.duration_s)
        assert not plan.copy
        write_soundtrack(folder / name, sound.described(info), plan)
        check_sound(folder / name, sound.duration_s)
        made = probe_audio(folder / name)
        assert made.channels == sound.described(info).channels
    return sound.duration_s


def _mix(info: AudioInfo, folder: Path) -> Fraction:
    sound = extract_network_audio(info, folder / "wave.f32")
    clips = [AudioClip(info, sound, 0.0, None)]
    made = mix(clips, folder / "mix.mka")
    assert abs(extract_network_audio(made, folder / "m.f32").duration_s - sound.duration_s) < Fraction(1, 1000)
    line = write_line(clips, folder / "own.f32", folder / "levelled.f32")
    assert abs(line.duration_s - sound.duration_s) < Fraction(1, 1000)
    return sound.duration_s


def _measure(info: AudioInfo, folder: Path) -> Fraction:
    assert loudness(info).lufs is not None
    return extract_network_audio(info, folder / "wave.f32").duration_s


def _learn(info: AudioInfo, _folder: Path) -> Fraction:
    return Fraction(len(read_wave(info.path)), 16000)


@pytest.mark.parametrize("reader", [_read, _hear, _deliver, _mix, _measure, _learn])
@pytest.mark.parametrize("change", AUDIO_CHANGES)
def test_audio_goes_on(change: str, reader: Callable[[AudioInfo, Path], Fraction], tmp_path: Path) -> None:
    """Rate, channels and layout may change in mid-stream: nothing is lost, and nothing moves."""
    path, seconds = changing_audio(tmp_path, change)
    assert abs(float(reader(probe_audio(path), tmp_path) - seconds)) < 0.002


def test_the_tone_goes_on_at_its_pitch_and_loudness(tmp_path: Path) -> None:
    """Both sides of the change sound alike to the networks."""
    path, seconds = changing_audio(tmp_path, "both")
    extract_network_audio(probe_audio(path), tmp_path / "wave.f32")
    wave = np.fromfile(tmp_path / "wave.f32", np.float32)
    middle = round(float(Fraction(25 * 1152, 48000)) * 16000)
    for part in (wave[1600 : middle - 400], wave[middle + 1600 : round(float(seconds) * 16000) - 400]):
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        assert abs(int(np.argmax(spectrum)) * 16000 / len(part) - 330) < 4
