"""Audio is read at the times that its file states: holes, overlaps, wrong stamps, tags between packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import MediaError, SegmentError
from lipwise_ray.media.audio import DecodedAudio, extract_network_audio
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.join import container_for
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.soundtrack import plan_soundtrack
from lipwise_ray.media.verify import check_sound
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.synth.clips import ToneSpec, write_sound

Packets = Callable[[list[Any]], Iterator[Any]]


def _sound(path: Path, codec: str, seconds: float = 2.0, **changes: Any) -> Path:
    write_sound(path, ToneSpec(seconds, **{"rate_hz": 48000, "codec": codec, "channels": 1, **changes}))
    return path


def _remuxed(source: Path, target: Path, change: Packets) -> Path:
    """Write a sound's packets again as `change` gives them back."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.audio[0]
        into = new.add_stream_from_template(stream, opaque=True)
        for packet in change([packet for packet in old.demux(stream) if packet.size]):
            packet.stream = into
            new.mux_one(packet)
    return target


def _without(start_s: float, stop_s: float) -> Packets:
    return lambda packets: (p for p in packets if not start_s <= float(p.pts * p.time_base) < stop_s)


def _moved(first: int, stop: int, by_s: float) -> Packets:
    def change(packets: list[Any]) -> Iterator[Any]:
        for number, packet in enumerate(packets):
            if first <= number < stop:
                packet.pts += round(Fraction(by_s) / packet.time_base)
                packet.dts = packet.pts if stop > len(packets) else packet.dts
            yield packet

    return change


def _read(path: Path) -> tuple[Any, AudioReader]:
    info = probe_audio(path)
    reader = AudioReader(info)
    return np.concatenate(list(reader.blocks(info.rate_hz, info.layout)), axis=1)[0], reader


def _described(path: Path) -> DecodedAudio:
    return extract_network_audio(probe_audio(path), path.with_suffix(".f32"))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("s.m4a", "aac"), ("s.webm", "libopus"), ("s.mkv", "flac"), ("s.ts", "mp2")],
)
def test_a_hole_becomes_silence(name: str, codec: str, tmp_path: Path) -> None:
    """What comes after lost packets stays where it was, to the sample, and the sound is not copied with its hole."""
    whole = _sound(tmp_path / name, codec)
    holed = _remuxed(whole, tmp_path / f"holed{whole.suffix}", _without(0.6, 1.2))
    wanted, _ = _read(whole)
    found, reader = _read(holed)
    assert len(found) == len(wanted)
    hole_s = float(reader.findings.hole_s)
    assert reader.findings.holes == 1
    assert abs(hole_s - 0.6) < 0.1
    start, stop = round(0.55 * 48000), round(1.32 * 48000)  # decoders need a packet or two to be themselves again
    assert np.array_equal(found[:start], wanted[:start])
    assert np.abs(found[stop:] - wanted[stop:]).max() < 5e-3
    assert (found[round(0.8 * 48000) : round(1.1 * 48000)] == 0).all()
    sound = _described(holed)
    for out in ("o.mp4", "o.mkv", "o.webm"):
        container = container_for(Path(out))
        assert not plan_soundtrack(probe_audio(holed), sound, container, "auto", 0, sound.duration_s).copy


def test_a_flac_with_cut_frames_keeps_its_time(tmp_path: Path) -> None:
    """FLAC numbers its frames, so those that were cut out of a file leave silence."""
    whole = _sound(tmp_path / "s.flac", "flac")
    holed = _remuxed(whole, tmp_path / "holed.flac", _without(0.6, 1.2))
    assert len(_read(holed)[0]) == len(_read(whole)[0])
    assert _described(holed).holes == 1


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [("s.mkv", "aac", 44100), ("s.webm", "libopus", 48000), ("s.mkv", "libmp3lame", 22050), ("s.flv", "aac", 44100)],
)
def test_inexact_stamps_change_nothing(name: str, codec: str, rate_hz: int, tmp_path: Path) -> None:
    """Stamps in milliseconds insert and drop no sample."""
    path = _sound(tmp_path / name, codec, 3.0, rate_hz=rate_hz)
    found, reader = _read(path)
    assert reader.findings.holes == 0
    with av.open(str(path)) as container:
        assert len(found) == sum(frame.samples for frame in container.decode(audio=0))


def test_one_wrong_stamp_is_no_hole(tmp_path: Path) -> None:
    """A stamp that those around it contradict is not believed, even one that is hours off."""
    whole = _sound(tmp_path / "s.mkv", "aac")
    for by_s in (0.02, 0.3, 36000.0):
        wrong = _remuxed(whole, tmp_path / "wrong.mkv", _moved(40, 41, by_s))
        assert np.array_equal(_read(wrong)[0], _read(whole)[0])


def test_an_overlap_is_cut_and_a_new_beginning_goes_on(tmp_path: Path) -> None:
    """Stamps that jump back a little overlap; those that jump back far have begun anew."""
    whole = _sound(tmp_path / "s.mkv", "flac")
    wanted = len(_read(whole)[0])
    count = sum(1 for _ in _packets(whole))
    overlapping = _remuxed(whole, tmp_path / "o.mkv", _moved(count // 2, 10**6, -0.08))
    found, reader = _read(overlapping)
    assert reader.findings.holes == 1
    assert abs(len(found) - (wanted - 0.08 * 48000)) <= 48
    joined = tmp_path / "joined.flac"
    one = _sound(tmp_path / "s.flac", "flac")
    joined.write_bytes(one.read_bytes() * 2)
    assert len(_read(joined)[0]) == 2 * len(_read(one)[0])


def test_an_overlap_is_cut_beyond_the_end_of_a_run(tmp_path: Path) -> None:
    """Three packets of more channels lie wholly in what was heard already: the next begins in it too, and is cut."""
    parts = [_sound(tmp_path / f"{number}.ac3", "ac3", 0.32, channels=number) for number in (2, 6)]
    stereo, surround = ([*_packets(part)][:10] for part in parts)
    path = tmp_path / "s.mkv"
    with av.open(str(parts[0])) as old, av.open(str(path), "w") as new:
        into = new.add_stream_from_template(old.streams.audio[0], opaque=True)
        for number, packet in enumerate([*stereo, *surround[:3], *[*_packets(parts[0])][:10]]):
            packet.pts = packet.dts = 32 * number
            packet.stream, packet.time_base = into, Fraction(1, 1000)
            new.mux_one(packet)
    _shift_stamps(path, lambda number: -200 if number >= 10 else 0)
    found, reader = _read(path)
    assert [run.count for run in reader.findings.runs] == [2, 6, 2]
    wanted = 23 * 1536 - round(0.2 * 48000)
    assert (len(found), round(reader.findings.length_s * 48000)) == (wanted, wanted)


def test_what_follows_an_overlap_after_a_hole_is_whole(tmp_path: Path) -> None:
    """Nothing of a packet is cut that begins after all that was heard."""
    path = _sound(tmp_path / "s.mkv", "flac")
    wanted = _read(path)[0]
    _shift_stamps(path, lambda number: 0 if number < 12 else -450 if number < 16 else 300)
    found = _read(path)[0]
    rest = wanted[16 * 4608 :]
    assert abs(len(found) - (len(wanted) + 0.3 * 48000)) <= 96
    assert np.array_equal(found[-len(rest) :], rest)
    assert np.array_equal(found[: 12 * 4608], wanted[: 12 * 4608])


def _shift_stamps(path: Path, shift_ms: Callable[[int], int]) -> None:
    """Change the time stamps in a Matroska file by its packets' numbers: muxers refuse times that go back."""
    data, place = bytearray(path.read_bytes()), 0
    for number, packet in enumerate([bytes(packet) for packet in _packets(path)]):
        place = data.index(packet, place)
        stamp = int.from_bytes(data[place - 3 : place - 1], "big", signed=True) + shift_ms(number)
        data[place - 3 : place - 1] = stamp.to_bytes(2, "big", signed=True)
        place += len(packet)
    path.write_bytes(data)


def _packets(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(audio=0) if packet.size)


def test_a_jump_of_hours_is_refused(tmp_path: Path) -> None:
    """Silence is not written for longer than a sound may last."""
    whole = _sound(tmp_path / "s.mkv", "aac")
    late = _remuxed(whole, tmp_path / "late.mkv", _moved(40, 10**6, 5 * 3600.0))
    info = probe_audio(late, LimitsSettings(hours=12))
    with pytest.raises(MediaError, match="at most 2 hours"):
        extract_network_audio(info, tmp_path / "a.f32", limits=LimitsSettings(hours=2))


def test_tags_between_packets_are_no_sound(tmp_path: Path) -> None:
    """MP3 files that were joined keep their tags in the middle; nothing is missing there."""
    one = _sound(tmp_path / "s.mp3", "libmp3lame")
    joined = tmp_path / "joined.mp3"
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE\x00\x00\x00\x0f\x00\x00\x03" + b"made by hand".ljust(20, b"\0")
    joined.write_bytes(one.read_bytes() + tag + one.read_bytes())
    assert _described(joined).holes == 0
    assert abs(float(_described(joined).duration_s) - 4) < 0.1


def test_a_delivered_hole_is_found(tmp_path: Path) -> None:
    """Checking compares times: as many samples at wrong times are not the sound that was planned."""
    whole = _sound(tmp_path / "s.mp4", "aac")
    check_sound(whole, Fraction(2))
    holed = _remuxed(whole, tmp_path / "holed.mp4", _moved(40, 10**6, 0.1))
    with pytest.raises(SegmentError, match="hole"):
        check_sound(holed, Fraction(2))
