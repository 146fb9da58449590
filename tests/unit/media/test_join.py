"""Encoding segments, joining them, sound, verification."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import SegmentError, SettingsError, StorageError
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.encode import EncodeSpec, encoded_size, encoder_formats
from lipwise_ray.media.index import build_index
from lipwise_ray.media.join import JoinedSound, SegmentFile, codec_for, container_for, join
from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.media.segment_writer import Segment, SegmentWriter
from lipwise_ray.media.soundtrack import LOSSLESS, add_soundtrack, plan_soundtrack, write_soundtrack
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.media.verify import check_segment, verify
from lipwise_ray.media.video_tags import VideoTags
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, read_code, write_sound
from lipwise_ray.values import ColorTags, Size

FAST = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "ultrafast", "ffv1": ""}


def _spec(codec: str, clip: ClipSpec, time_base: Fraction, **changes: Any) -> EncodeSpec:
    shape = planar_format(clip.pixel_format)
    assert shape is not None
    values: dict[str, Any] = {
        "codec": codec,
        "quality": None,
        "preset": FAST[codec],
        "keyframe_frames": 12,
        "pixel_format": clip.pixel_format,
        "size": encoded_size(clip.size, codec, shape),
        "rate": clip.rate,
        "time_base": time_base,
        "color": ColorTags(1, 1, 1, full_range=False),
        "sample_aspect_ratio": Fraction(1),
        "threads": 2,
    }
    return EncodeSpec(**{**values, **changes})


def _timeline(clip: ClipSpec) -> Timeline:
    if clip.times:
        assert clip.time_base is not None
        return Timeline(np.array(clip.times), clip.times[-1] + 1000, clip.time_base)
    return Timeline(np.arange(clip.frames, dtype=np.int64), clip.frames, 1 / clip.rate)


def _segments(
    folder: Path, codec: str, clip: ClipSpec, length: int, **changes: Any
) -> tuple[list[SegmentFile], Timeline]:
    timeline = _timeline(clip)
    files: list[SegmentFile] = []
    for start in range(0, clip.frames, length):
        path = folder / f"{start}.mkv"
        with SegmentWriter(path, _spec(codec, clip, timeline.time_base, **changes)) as writer:
            for n in range(start, min(start + length, clip.frames)):
                writer.write(draw_frame(clip, n), int(timeline.pts[n]))
            segment: Segment = writer.finish()
        assert segment.bytes_total == path.stat().st_size
        files.append(SegmentFile(path, segment.frames, segment.reorder, check_segment(path, segment.frames).crc))
    return files, timeline


def _sound(path: Path, out: str, duration_s: Fraction | None = None) -> tuple[Any, Fraction]:
    info = probe_audio(path)
    sound = extract_network_audio(info, path.with_suffix(".f32"))
    length_s = sound.duration_s if duration_s is None else duration_s
    plan = plan_soundtrack(sound.described(info), sound, container_for(Path(out)), "auto", 0, length_s)
    if not plan.copy or plan.codec not in LOSSLESS:  # as jobs do
        track = path.with_name(f"track{Path(out).suffix}")
        plan = replace(write_soundtrack(track, sound.described(info), plan), copy=True)
        info = probe_audio(track)
    return (lambda container: add_soundtrack(container, info, plan)), length_s


def _packets(path: Path) -> bytes:
    """Return what the packets of a file's sound hold."""
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0))


class _ByChance:
    """An encoder as x265 is for streams that end before frames are reordered: decoding times are left to chance."""

    def __init__(self, stream: Any, dts: int) -> None:
        self._stream, self._dts = stream, dts

    def encode(self, frame: Any) -> list[Any]:
        packets = self._stream.encode(frame)
        for number, packet in enumerate(packets):
            packet.dts = self._dts + number
        return packets


@pytest.mark.parametrize("dts", [3, 9_187_201_950_435_671_679, -9_187_201_950_435_671_679])
@pytest.mark.parametrize("frames", [1, 2])
def test_decoding_times_that_cannot_be_are_mended(frames: int, dts: int, tmp_path: Path) -> None:
    """A segment of one or two frames is whole, whatever its encoder says about when they are decoded."""
    clip, path = ClipSpec(frames=frames), tmp_path / "s.mkv"
    with SegmentWriter(path, _spec("libx265", clip, 1 / clip.rate)) as writer:
        writer._stream = _ByChance(writer._stream, dts)
        for number in range(frames):
            writer.write(draw_frame(clip, number), number)
        segment = writer.finish()
    assert (segment.frames, segment.reorder) == (frames, 0)
    check_segment(path, frames)


CASES = [
    ("libx264", "o.mp4", ClipSpec(frames=30)),
    ("libx264", "o.mov", ClipSpec(frames=30, rate=Fraction(30000, 1001), pixel_format="yuv422p")),
    ("libx264", "o.mkv", ClipSpec(frames=30, rate=Fraction(60), pixel_format="yuv444p")),
    pytest.param("libx264", "o.mp4", ClipSpec(frames=30, size=Size(321, 243)), marks=pytest.mark.slow),
    ("libx264", "o.mp4", ClipSpec(frames=30, pixel_format="yuv420p10le", rate=Fraction(2252800, 90643))),
    ("libx265", "o.mp4", ClipSpec(frames=30, rate=Fraction(24))),
    ("libsvtav1", "o.webm", ClipSpec(frames=30)),
    pytest.param("libsvtav1", "o.mp4", ClipSpec(frames=30, pixel_format="yuv420p10le"), marks=pytest.mark.slow),
    ("ffv1", "o.mkv", ClipSpec(frames=30, size=Size(321, 243), pixel_format="yuv422p10le")),
    (
        "libx264",
        "o.mp4",
        ClipSpec(frames=6, times=(0, 1001, 1500, 4000, 9000, 9100), time_base=Fraction(1, 30000)),
    ),
]


@pytest.mark.parametrize(("codec", "name", "clip"), CASES)
@pytest.mark.parametrize("length", [1, 7, pytest.param(100, marks=pytest.mark.slow)])
def test_joined_segments_are_one_video(codec: str, name: str, clip: ClipSpec, length: int, tmp_path: Path) -> None:
    """Every frame in order at its exact time, sound as planned, colour tags kept, for any chunk length."""
    segments, timeline = _segments(tmp_path, codec, clip, length)
    write_sound(tmp_path / "s.wav", ToneSpec(float(timeline.duration_s), codec="pcm_s16le"))
    add_sound, audio_s = _sound(tmp_path / "s.wav", name)
    join(segments, timeline, tmp_path / name, metadata={"comment": "test"}, sounds=[JoinedSound(add_sound)])
    verdict = verify(tmp_path / name, segments, timeline, audio_s)
    assert verdict.frames == clip.frames
    info = probe_video(tmp_path / name)
    assert (info.color.matrix, info.color.primaries, info.color.transfer) == (1, 1, 1)
    index = build_index(info)
    assert len(index) == clip.frames
    if name not in {"o.webm", "o.mkv"}:
        times = [(int(p) - int(index.pts[0])) * index.time_base for p in index.pts]
        assert times == [int(p) * timeline.time_base for p in timeline.pts]
    with av.open(str(tmp_path / name)) as container:
        codes = [
            read_code(plane_array(frame, 0)[: clip.size.height, : clip.size.width])
            for frame in container.decode(video=0)
        ]
    assert codes == list(range(clip.frames))


@pytest.mark.parametrize("size", [Size(101, 77), Size(323, 243), Size(96, 187), Size(6, 2)], ids=str)
@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p", "gray"])
def test_lossless_segments_are_bit_equal(size: Size, pixel_format: str, tmp_path: Path) -> None:
    """ffv1 gives back every sample, at any size."""
    clip = ClipSpec(frames=8, size=size, pixel_format=pixel_format)
    segments, _ = _segments(tmp_path, "ffv1", clip, 100)
    with av.open(str(segments[0].path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            drawn = draw_frame(clip, number)
            for plane in range(len(drawn.planes)):
                assert np.array_equal(plane_array(frame, plane), plane_array(drawn, plane))


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
def test_rotation_and_pixel_aspect_survive(rotation: Any, name: str, tmp_path: Path) -> None:
    """The finished file asks players for the same turn and the same pixel shape as the source."""
    clip = ClipSpec(frames=5)
    segments, timeline = _segments(tmp_path, "libx264", clip, 3, sample_aspect_ratio=Fraction(16, 11))
    picture = VideoTags(Orientation.clockwise(rotation), Fraction(16, 11), color=ColorTags(1, 1, 1))
    join(segments, timeline, tmp_path / name, tags=picture, metadata={})
    verify(tmp_path / name, segments, timeline, None, tags=picture)
    info = probe_video(tmp_path / name)
    assert info.orientation.rotation == rotation
    assert info.sample_aspect_ratio == Fraction(16, 11)
    if shutil.which("ffprobe"):
        shown = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "side_data=rotation", "-of", "csv=p=0", str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert int(shown.split()[0]) % 360 == -rotation % 360


def test_an_index_at_the_front(tmp_path: Path) -> None:
    """MP4 files can be played while they load: moov comes before mdat."""
    segments, timeline = _segments(tmp_path, "libx264", ClipSpec(frames=30), 10)
    join(segments, timeline, tmp_path / "o.mp4", metadata={})
    data = (tmp_path / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("source", "codec", "out", "kept"),
    [
        ("s.m4a", "aac", "o.mp4", True),
        ("s.m4a", "aac", "o.mkv", av.library_versions["libavformat"] >= (63,)),  # FFmpeg 9 notes the delay of AAC there
        ("s.wav", "pcm_s16le", "o.mov", True),
        ("s.wav", "pcm_s16le", "o.mkv", True),
        ("s.wav", "pcm_s16le", "o.mp4", False),
        ("s.flac", "flac", "o.mkv", True),
        ("s.mp3", "libmp3lame", "o.mp4", True),
        ("s.mp3", "libmp3lame", "o.mkv", False),  # Matroska keeps the delay of Opus alone
        ("s.opus", "libopus", "o.mkv", True),
        ("s.opus", "libopus", "o.mp4", True),
        ("s.webm", "libopus", "o.mp4", True),  # stamps of milliseconds are counted anew
        ("s.mkv", "aac", "o.mp4", True),
        ("s.m4a", "aac", "o.webm", False),
    ],
)
def test_sound_is_copied_where_that_is_exact(*, source: str, codec: str, out: str, kept: bool, tmp_path: Path) -> None:
    """Packets are copied or encoded once; either way the click of second 1 stays at second 1."""
    clip = ClipSpec(frames=60)
    video = "libsvtav1" if out.endswith("webm") else "libx264"
    segments, timeline = _segments(tmp_path, video, clip, 25)
    write_sound(tmp_path / source, ToneSpec(2.4, codec=codec, tone_hz=50))
    add_sound, audio_s = _sound(tmp_path / source, out)
    join(segments, timeline, tmp_path / out, metadata={}, sounds=[JoinedSound(add_sound)])
    verify(tmp_path / out, segments, timeline, audio_s)
    made = probe_audio(tmp_path / out)
    assert (_packets(tmp_path / out) == _packets(tmp_path / source)) == kept
    extract_network_audio(made, tmp_path / "back.f32")
    wave = np.abs(np.fromfile(tmp_path / "back.f32", np.float32)[8000:24000])
    assert abs((8000 + int(np.argmax(wave > 0.5 * wave.max()))) / 16000 - 1.0) < 0.004


@pytest.mark.parametrize("wanted_s", [Fraction(1, 2), Fraction(6, 5), Fraction(3)])
@pytest.mark.parametrize("out", ["o.mp4", "o.webm"])
def test_sound_is_cut_and_padded_exactly(wanted_s: Fraction, out: str, tmp_path: Path) -> None:
    """A sound of 1.2 s becomes 0.5, 1.2 or 3 s: cut at the end, or followed by silence."""
    clip = ClipSpec(frames=int(wanted_s * 25))
    video = "libsvtav1" if out.endswith("webm") else "libx264"
    segments, timeline = _segments(tmp_path, video, clip, 100)
    write_sound(tmp_path / "s.m4a", ToneSpec(1.2, codec="aac", channels=1, rate_hz=44100))
    add_sound, _ = _sound(tmp_path / "s.m4a", out, wanted_s)
    join(segments, timeline, tmp_path / out, metadata={}, sounds=[JoinedSound(add_sound)])
    verdict = verify(tmp_path / out, segments, timeline, wanted_s)
    assert verdict.audio_s is not None
    assert abs(verdict.audio_s - float(wanted_s)) < 0.03


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate_hz", [8000, 44100, 96000])
def test_channels_survive(channels: int, rate_hz: int, tmp_path: Path) -> None:
    """Mono to 5.1 and 8 to 96 kHz come through as AAC with their channels."""
    segments, timeline = _segments(tmp_path, "libx264", ClipSpec(frames=25), 100)
    write_sound(tmp_path / "s.wav", ToneSpec(1.0, codec="pcm_s16le", channels=channels, rate_hz=rate_hz))
    add_sound, audio_s = _sound(tmp_path / "s.wav", "o.mp4")
    join(segments, timeline, tmp_path / "o.mp4", metadata={}, sounds=[JoinedSound(add_sound)])
    verify(tmp_path / "o.mp4", segments, timeline, audio_s)
    made = probe_audio(tmp_path / "o.mp4")
    assert (made.channels, made.rate_hz) == (channels, rate_hz)


def test_broken_segments_are_found(tmp_path: Path) -> None:
    """A cut segment, a short one, and a finished file with a frame too few are all refused."""
    segments, timeline = _segments(tmp_path, "libx264", ClipSpec(frames=30), 10)
    whole = segments[1].path.read_bytes()
    segments[1].path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegmentError):
        join(segments, timeline, tmp_path / "a.mp4", metadata={})
    segments[1].path.write_bytes(whole)
    with pytest.raises(SegmentError, match="hold 20 frames instead of 30"):
        join(segments[:2], timeline, tmp_path / "b.mp4", metadata={})
    join(segments, timeline, tmp_path / "c.mp4", metadata={})
    verify(tmp_path / "c.mp4", segments, timeline, None)
    longer = Timeline(np.arange(31), 31, timeline.time_base)
    with pytest.raises(SegmentError, match="holds 30 frames instead of 31"):
        verify(tmp_path / "c.mp4", segments, longer, None)
    shifted = Timeline(timeline.pts * 2, 60, timeline.time_base)
    with pytest.raises(SegmentError, match="planned time"):
        verify(tmp_path / "c.mp4", segments, shifted, None)
    with pytest.raises(SegmentError, match="streams"):
        verify(tmp_path / "c.mp4", segments, timeline, Fraction(1))
    data = bytearray((tmp_path / "c.mp4").read_bytes())
    (tmp_path / "d.mp4").write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(SegmentError):
        verify(tmp_path / "d.mp4", segments, timeline, None)
    data[-50] ^= 1  # within the last segment's last packet
    (tmp_path / "e.mp4").write_bytes(data)
    with pytest.raises(SegmentError, match=r"holds other packets than segment 2"):
        verify(tmp_path / "e.mp4", segments, timeline, None)


def test_a_damaged_segment_does_not_pass(tmp_path: Path) -> None:
    """A segment is decoded to its end before anybody is told of it."""
    segments, _ = _segments(tmp_path, "libx264", ClipSpec(frames=10), 100)
    path = segments[0].path
    assert check_segment(path, 10).crc == segments[0].crc
    with pytest.raises(SegmentError, match="holds 10 frames instead of 11"):
        check_segment(path, 11)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SegmentError):
        check_segment(path, 10)


def test_encoders_that_do_not_fit(tmp_path: Path) -> None:
    """A container that cannot carry the codec, and an encoder that cannot open, are clear errors."""
    assert codec_for("auto", "webm") == "libsvtav1"
    with pytest.raises(SettingsError, match="webm cannot carry that codec; it can carry libsvtav1"):
        codec_for("libx264", "webm")
    with pytest.raises(SettingsError, match=r"\.mp4"):
        container_for(Path("a.gif"))
    clip = ClipSpec(frames=1)
    with pytest.raises(SettingsError, match="doctor"):
        SegmentWriter(tmp_path / "x.mkv", _spec("libsvtav1", clip, Fraction(1, 25), pixel_format="yuv444p"))
    assert "yuv420p" in encoder_formats("libx264")
    assert encoder_formats("nonsense") == set()


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A segment that does not fit on the disk is a StorageError, and nothing hangs."""
    import resource
    import signal

    clip = ClipSpec(frames=40, size=Size(320, 240))
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="no room to write it: file too large"):
            _segments(tmp_path, "ffv1", clip, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
