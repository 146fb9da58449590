"""Channels of delivered audio: each comes out of the loudspeaker that it was made for, and the file says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.join import container_for
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.samples import frame_of
from lipwise_ray.media.soundtrack import plan_soundtrack, write_soundtrack

RATE_HZ = 48_000
STEP_HZ = 200


def _tones(path: Path, codec: str, layout: str) -> AudioInfo:
    """Write a second of audio whose channels have a tone of their own each, in steps of 200 Hz."""
    seconds = np.arange(RATE_HZ) / RATE_HZ
    numbers = np.arange(len(channel_names(layout)))[:, None]
    samples = 0.2 * np.sin(2 * np.pi * (numbers + 1) * STEP_HZ * seconds)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=RATE_HZ, layout=layout)
        to_encoder = av.AudioResampler(stream.format, layout, RATE_HZ, frame_size=stream.codec_context.frame_size)
        frame = frame_of(samples.astype(np.float32), "flt", layout, RATE_HZ)
        for piece in [*to_encoder.resample(frame), *to_encoder.resample(None), None]:
            output.mux(stream.encode(piece))
    return probe_audio(path)


def _delivered(folder: Path, source: AudioInfo, name: str, codec: str = "auto") -> tuple[AudioInfo, str]:
    sound = extract_network_audio(source, folder / "network.f32")
    info = sound.described(source)
    plan = plan_soundtrack(info, sound, container_for(folder / name), codec, 0, sound.duration_s)
    wrote = write_soundtrack(folder / name, info, plan)
    return probe_audio(folder / name), "copied" if wrote.copy else wrote.codec


def _heard(info: AudioInfo) -> list[int]:
    """Return the number of the tone that each channel has, by the loudest frequency."""
    samples = np.concatenate(list(AudioReader(info).blocks(info.rate_hz, info.layout)), axis=1)
    loudest = np.abs(np.fft.rfft(samples[:, RATE_HZ // 4 : RATE_HZ * 3 // 4])).argmax(axis=1)
    return [round(place * 2 / STEP_HZ) - 1 for place in loudest]


@pytest.mark.parametrize("layout", ["3.0", "quad", "5.0", "5.1", "6.1", "7.1"])
@pytest.mark.parametrize("name", ["o.webm", "o.mkv", "o.mp4"])
def test_opus_keeps_each_channel_in_its_place(layout: str, name: str, tmp_path: Path) -> None:
    """With as many channels as there may be; the low-frequency one alone may lose its tone to a filter."""
    found, by = _delivered(tmp_path, _tones(tmp_path / "s.wav", "pcm_s16le", layout), name, "libopus")
    assert (found.layout, by) == (layout, "libopus")
    low = [number for number, one in enumerate(channel_names(layout)) if one == "LFE"]
    heard = _heard(found)
    assert [heard[n] for n in range(len(heard)) if n not in low] == [n for n in range(len(heard)) if n not in low]


@pytest.mark.parametrize(
    ("source", "codec", "layout", "name", "expected"),
    [
        ("s.wav", "pcm_s16le", "3.0", "o.mkv", "flac"),
        ("s.wav", "pcm_s24le", "4.0", "o.mkv", "flac"),
        ("s.wav", "pcm_s16le", "5.1", "o.mkv", "copied"),
        ("s.wav", "pcm_s16le", "3.0", "o.mov", "copied"),
        ("s.flac", "flac", "2.1", "o.mp4", "aac"),
        ("s.flac", "flac", "4.0", "o.mp4", "aac"),
        ("s.flac", "flac", "3.0", "o.mp4", "copied"),
        ("s.flac", "flac", "4.0", "o.mkv", "copied"),
    ],
)
def test_what_a_container_cannot_say_of_channels_is_not_copied(
    source: str, codec: str, layout: str, name: str, expected: str, tmp_path: Path
) -> None:
    """Matroska states only how many channels PCM has, and MP4 how many FLAC has: others would be taken for these."""
    found, by = _delivered(tmp_path, _tones(tmp_path / source, codec, layout), name)
    assert (found.layout, by) == (layout, expected)
    front = channel_names(layout).index("FR")
    assert _heard(found)[: front + 1] == list(range(front + 1))


def test_a_copy_that_would_lose_the_channels_is_refused(tmp_path: Path) -> None:
    """Whoever asks for a copy learns why there can be none; an encoder that is asked for gets channels it can say."""
    source = _tones(tmp_path / "s.flac", "flac", "2.1")
    with pytest.raises(SettingsError, match=r"its channels are 2\.1, which mp4 cannot say of flac"):
        _delivered(tmp_path, source, "o.mp4", "copy")
    found, by = _delivered(tmp_path, source, "o.mp4", "flac")
    assert (found.layout.replace("(side)", ""), by) == ("5.1", "flac")
    assert [_heard(found)[channel_names("5.1").index(one)] for one in ("FL", "FR", "LFE")] == [0, 1, 2]
