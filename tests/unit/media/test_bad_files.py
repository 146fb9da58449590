"""Files that cannot be used get an error that names the file and the reason."""

from __future__ import annotations

import random
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from lipwise_ray.errors import AudioError, InputError, LipwiseError, MediaError, SegmentError
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.container import reading
from lipwise_ray.media.index import build_index
from lipwise_ray.media.matroska import ROOM, set_shown_size
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, codes, write_clip, write_sound
from lipwise_ray.values import Size


def _video_error(path: Path) -> LipwiseError:
    with pytest.raises(MediaError) as caught:
        build_index(probe_video(path))
    assert str(path) in str(caught.value)
    return caught.value


def test_files_that_are_no_video(tmp_path: Path) -> None:
    """Missing, empty, directory, text, web page: each is told apart."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("once upon a time\n" * 50)
    (tmp_path / "page.mp4").write_text("<html><body>quota</body></html>")
    (tmp_path / "folder.mp4").mkdir()
    assert _video_error(tmp_path / "missing.mp4").code == "missing_file"
    assert _video_error(tmp_path / "empty.mp4").code == "empty_file"
    assert "a text file" in str(_video_error(tmp_path / "text.mp4"))
    assert "web page" in str(_video_error(tmp_path / "page.mp4"))
    assert _video_error(tmp_path / "folder.mp4").code == "not_a_file"


def test_a_playlist_named_mp4_opens_no_other_file(tmp_path: Path) -> None:
    """A playlist inside a video's name is refused, whatever it points to."""
    write_clip(tmp_path / "real.ts", ClipSpec(frames=10))
    (tmp_path / "hls.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nreal.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile real.ts\n")
    assert _video_error(tmp_path / "hls.mp4").code == "not_media"
    assert _video_error(tmp_path / "concat.mp4").code == "not_media"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (LimitsSettings(megapixels=0.07), "too_large"),
        (LimitsSettings(hours=0.9 / 3600), "too_long"),
        (LimitsSettings(streams=1), "too_many_streams"),
    ],
)
def test_what_is_too_large_is_refused_by_its_headers(limits: LimitsSettings, code: str, tmp_path: Path) -> None:
    """Pixels, hours and streams; the same file passes where it just fits."""
    path = tmp_path / "v.mp4"
    write_clip(path, ClipSpec(frames=25, tone=ToneSpec(1.0)))
    with pytest.raises(MediaError) as caught:
        probe_video(path, limits)
    assert caught.value.code == code
    assert "See limits." in str(caught.value)
    probe_video(path, LimitsSettings(megapixels=0.0768, hours=1.1 / 3600, streams=2))


def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path: Path) -> None:
    """A small file of 400 megapixels is refused before its pixels take any room."""
    import resource

    path = tmp_path / "bomb.png"
    row = b"\0" * 2501
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path.stat().st_size < 1 << 20
    with pytest.raises(MediaError, match="has frames whose size cannot be read"):
        probe_video(path, LimitsSettings(megapixels=134))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_sound_that_goes_on_beyond_its_header_is_cut_off(tmp_path: Path) -> None:
    """What a header promises is not believed: the sound is refused once it is too long."""
    path = tmp_path / "s.wav"
    write_sound(path, ToneSpec(3.0, codec="pcm_s16le", rate_hz=16_000, channels=1))
    with pytest.raises(MediaError, match=r"lasts 0\.\d+ hours; at most 0\.000277778 hours are allowed"):
        extract_network_audio(probe_audio(path), tmp_path / "x.f32", limits=LimitsSettings(hours=1 / 3600))
    assert (tmp_path / "x.f32").stat().st_size <= 4 * 2 * 16_000


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name that looks like a protocol is opened as a file."""
    write_clip(tmp_path / "http:x y.mp4", ClipSpec(frames=3))
    monkeypatch.chdir(tmp_path)
    assert len(build_index(probe_video(Path("http:x y.mp4")))) == 3


def test_sound_alone_is_no_video_and_cover_art_neither(tmp_path: Path, shared: Path) -> None:
    """A sound file, with or without a cover picture, is refused as a video and fine as a sound."""
    del shared  # the cover is made here; real clips are not needed
    write_sound(tmp_path / "a.wav", ToneSpec(1, codec="pcm_s16le"))
    assert _video_error(tmp_path / "a.wav").code == "no_video"


def test_cover_art_is_not_a_video_stream(tmp_path: Path) -> None:
    """The picture attached to a song is not taken for its video."""
    import cv2
    from av.stream import Disposition

    cv2.imwrite(str(tmp_path / "cover.png"), np.full((64, 64, 3), 99, np.uint8))
    write_sound(tmp_path / "plain.m4a", ToneSpec(1))
    with (
        av.open(str(tmp_path / "plain.m4a")) as song,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as target,
    ):
        sound = target.add_stream_from_template(song.streams.audio[0])
        picture = target.add_stream_from_template(cover.streams.video[0])
        picture.disposition = Disposition.attached_pic
        for packet in cover.demux(video=0):
            if packet.size:
                packet.stream = picture
                target.mux_one(packet)
        for packet in song.demux(audio=0):
            if packet.size:
                packet.stream = sound
                target.mux_one(packet)
    assert _video_error(tmp_path / "song.m4a").code == "no_video"
    assert probe_audio(tmp_path / "song.m4a").codec == "aac"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_video_that_was_cut_off(name: str, tmp_path: Path) -> None:
    """A file cut in the middle is refused by default; salvaging gives the frames that decode."""
    path = tmp_path / name
    options = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    write_clip(tmp_path / f"whole{path.suffix}", ClipSpec(frames=100, codec=codec, gop=10, tone=None))
    if options:
        with av.open(str(tmp_path / "whole.mp4")) as source, av.open(str(path), "w", options=options) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux_one(packet)
        data = path.read_bytes()
    else:
        data = (tmp_path / f"whole{path.suffix}").read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    error = _video_error(path)
    assert error.code in ("truncated", "damaged")
    assert "salvage" in str(error)
    info = probe_video(path)
    index = build_index(info, salvage=True)
    assert 20 < len(index) < 100
    with VideoReader(path, info.stream_index, index, salvage=True) as reader:
        assert codes(reader.read(0, len(index) - 1)) == list(range(len(index) - 1))


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [("ogg", "libvpx", {}), ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}), ("matroska", "libx264", {})],
)
def test_a_cut_that_shows_in_no_number_of_frames(
    container: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    """Some files declare no frames or no end, others one that is hardly later: their bytes are counted too."""
    write_clip(tmp_path / "v.mkv", ClipSpec(frames=50, codec=codec, gop=10, tone=None))
    with (
        av.open(str(tmp_path / "v.mkv")) as source,
        av.open(str(tmp_path / "whole"), "w", format=container, options=options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux_one(packet)
    assert len(build_index(probe_video(tmp_path / "whole"))) == 50
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(data[: data.rindex(b"moof") + 24 if container == "mp4" else len(data) * 9 // 10])
    error = _video_error(tmp_path / "cut")
    assert error.code == "damaged"
    assert "bytes that its" in str(error)
    assert 20 < len(build_index(probe_video(tmp_path / "cut"), salvage=True)) < 50


def test_a_length_in_ivf_is_no_number_of_frames(tmp_path: Path) -> None:
    """Some writers put ticks where others put frames, and nothing is missing."""
    times, tick_s = tuple(range(0, 200, 40)), Fraction(1, 1000)
    clip = ClipSpec(size=Size(48, 32), frames=5, codec="libvpx", times=times, time_base=tick_s)
    write_clip(tmp_path / "v.ivf", clip)
    data = bytearray((tmp_path / "v.ivf").read_bytes())
    data[24:28] = struct.pack("<I", 200)
    (tmp_path / "v.ivf").write_bytes(data)
    assert len(build_index(probe_video(tmp_path / "v.ivf"))) == 5


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    """An MP4 whose end is missing is called cut off."""
    write_clip(tmp_path / "a.mp4", ClipSpec(frames=50))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    assert "cut off" in str(_video_error(tmp_path / "a.mp4"))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_that_ends_too_early_is_refused(progressive: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a parameter
    """Decoders show gray in place of its end; one that lacks the mark of its end alone is whole, and so is one with
    something after it. A small image in its header does not count.
    """
    path, noise = tmp_path / "a.jpg", np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8)
    small = tmp_path / "small.jpg"
    Image.fromarray(noise[:16, :16]).save(small)
    exif = Image.Exif()
    exif[0x927C] = small.read_bytes()
    Image.fromarray(noise).save(path, quality=90, progressive=progressive, exif=exif)
    data = path.read_bytes()
    for whole in (data, data[:-2], data + b"more" * 100, data[:-2] + b"\0" * 100):
        path.write_bytes(whole)
        assert len(build_index(probe_video(path))) == 1
    for share in (0.4, 0.7, 0.95):
        path.write_bytes(data[: int(share * len(data))])
        assert _video_error(path).code == "damaged"
        assert len(build_index(probe_video(path), salvage=True)) == 1


def test_a_series_with_a_photo_that_ends_too_early(tmp_path: Path) -> None:
    """The frame is named as damaged; with salvage the one before is held."""
    for number in range(3):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)).save(
            tmp_path / f"{number}.jpg", quality=90
        )
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:2000])
    info = probe_video(tmp_path)
    with (
        VideoReader(tmp_path, info.stream_index, build_index(info)) as reader,
        pytest.raises(MediaError, match=r"1\.jpg: the image ends before its last row"),
    ):
        list(reader.read_order(iter(range(3))))
    index = build_index(info, salvage=True)
    assert index.pts.tolist() == [0, 2]


def test_sounds_that_cannot_be_used(tmp_path: Path) -> None:
    """No sound at all, no samples, NaN: each is told apart."""
    import wave

    write_clip(tmp_path / "silent.mp4", ClipSpec(frames=5))
    with pytest.raises(AudioError) as caught:
        probe_audio(tmp_path / "silent.mp4")
    assert caught.value.code == "no_audio"
    with wave.open(str(tmp_path / "none.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(LipwiseError) as empty:
        extract_network_audio(probe_audio(tmp_path / "none.wav"), tmp_path / "x.f32")
    assert empty.value.code in ("no_samples", "no_audio")
    _write_float_wav(tmp_path / "nan.wav", np.array([0.1] * 8000 + [np.nan] + [0.1] * 100, np.float32))
    with pytest.raises(AudioError, match=r"NaN or infinity after 0\.[45]") as bad:
        extract_network_audio(probe_audio(tmp_path / "nan.wav"), tmp_path / "x.f32")
    assert bad.value.code == "not_finite"


def _write_float_wav(path: Path, samples: np.ndarray) -> None:
    from scipy.io import wavfile

    wavfile.write(path, 16000, samples)


def _two_streams(path: Path) -> bytes:
    write_clip(path, ClipSpec(size=Size(160, 120), frames=10, tone=ToneSpec(0.4, codec="flac")))
    return path.read_bytes()


def test_a_codec_that_no_decoder_knows_is_the_files_fault(tmp_path: Path) -> None:
    """It is told as such, for pictures and for sound, and a stream beside it is used all the same."""
    data = _two_streams(tmp_path / "v.mkv")
    pictures, sound = tmp_path / "pictures.mkv", tmp_path / "sound.mkv"
    pictures.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XVC"))
    sound.write_bytes(data.replace(b"A_FLAC", b"A_XLAC"))
    assert _video_error(pictures).code == "unknown_codec"
    with pytest.raises(MediaError) as caught:
        probe_audio(sound)
    assert caught.value.code == "unknown_codec"
    assert len(build_index(probe_video(sound))) == 10
    assert extract_network_audio(probe_audio(pictures), tmp_path / "wave.f32").samples > 0


@pytest.mark.parametrize(("channels", "code"), [(0, "no_audio"), (255, "damaged"), (0xFFFF, "no_audio")])
def test_a_wave_file_of_absurd_channels_is_the_files_fault(channels: int, code: str, tmp_path: Path) -> None:
    """What FFmpeg's resampler raises on it names the file, as a sound without channels does."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    data = bytearray((tmp_path / "s.wav").read_bytes())
    data[22:24] = struct.pack("<H", channels)
    (tmp_path / "s.wav").write_bytes(data)
    with pytest.raises((MediaError, AudioError)) as caught:
        extract_network_audio(probe_audio(tmp_path / "s.wav"), tmp_path / "wave.f32")
    assert caught.value.code == code
    assert "s.wav" in str(caught.value)


def test_whatever_a_library_raises_on_a_file_is_the_files(tmp_path: Path) -> None:
    """Any exception, but not the machine's memory, a full disk, or what is judged already."""
    for raised in (OverflowError("too large"), AttributeError("x"), RecursionError(), UnicodeError("y"), KeyError("z")):
        with pytest.raises(MediaError) as caught, reading(tmp_path / "v.mp4"):
            raise raised
        assert caught.value.code == "unreadable_media"
        assert type(raised).__name__ in str(caught.value)
    for passed in (MemoryError(), OSError(28, "No space left"), AudioError("not_finite", "s.wav", got="holds NaN")):
        with pytest.raises(type(passed)), reading(tmp_path / "v.mp4"):
            raise passed


def test_files_with_changed_bytes_fail_as_files(tmp_path: Path) -> None:
    """Seeded damage in headers, indexes and data ends in an error of the file, or is read."""
    rng = random.Random(7)
    good = {"v.mkv": _two_streams(tmp_path / "v.mkv")}
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    good |= {name: (tmp_path / name).read_bytes() for name in ("v.mp4", "s.wav")}
    failed = 0
    for _ in range(60):
        name, data = rng.choice(list(good.items()))
        changed = bytearray(data)
        for _ in range(rng.choice([1, 4, 20])):
            at = rng.randrange(min(600, len(changed))) if rng.random() < 0.6 else rng.randrange(len(changed))
            changed[at : at + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        path = tmp_path / f"changed-{name}"
        path.write_bytes(changed)
        for read in (
            lambda: build_index(probe_video(path)),  # noqa: B023  # called at once
            lambda: extract_network_audio(probe_audio(path), tmp_path / "wave.f32"),  # noqa: B023  # called at once
        ):
            try:
                read()
            except InputError:
                failed += 1
    assert failed > 10


def test_a_file_that_ends_anywhere_fails_as_a_file(tmp_path: Path) -> None:
    """Cut off after any byte of its head, or anywhere behind, a file is read or has an error of its own."""
    size, sound = Size(48, 32), ToneSpec(0.1, codec="flac", rate_hz=16000, channels=1)
    for name in ("v.mkv", "v.mp4"):
        write_clip(tmp_path / name, ClipSpec(size=size, frames=3, tone=sound))
    write_sound(tmp_path / "s.wav", ToneSpec(0.1, codec="pcm_s16le", rate_hz=16000, channels=1))
    images = [Image.new("RGB", (24, 16), (60 * number, 9, 9)) for number in range(3)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=100)
    failed = 0
    for whole in sorted(tmp_path.iterdir()):
        data, path = whole.read_bytes(), tmp_path / f"cut{whole.suffix}"
        for length in {*range(1, 120, 3), *range(120, len(data), len(data) // 30)}:
            path.write_bytes(data[:length])
            try:
                build_index(probe_video(path))
                extract_network_audio(probe_audio(path), tmp_path / "wave.f32")
            except InputError:
                failed += 1
    assert failed > 250


def test_an_output_that_lost_its_end_is_made_again(tmp_path: Path) -> None:
    """A joined file that is not whole is told as such where its pixels' shape is written, wherever it ends."""
    path = tmp_path / "o.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.metadata["title"] = ROOM
        container.mux([*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)])
    data = path.read_bytes()
    set_shown_size(path, Fraction(4, 3))
    assert probe_video(path).sample_aspect_ratio == Fraction(4, 3)
    for length in range(data.find(b"\xae") + 1):
        path.write_bytes(data[:length])
        with pytest.raises(SegmentError):
            set_shown_size(path, Fraction(4, 3))
