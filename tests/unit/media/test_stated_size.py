"""Audio and video files that end before what they state."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import av
import numpy as np
import pytest

from lipwise_ray.errors import MediaError
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.samples import frame_of
from lipwise_ray.media.stated_size import refuse_cut
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip

_RATE_HZ, _SECONDS = 48000, 3


class _Kind(NamedTuple):
    """A kind of file."""

    container: str
    codec: str
    options: dict[str, str] = {}  # noqa: RUF012  # nobody changes it


_STATING = {
    "wav": _Kind("wav", "pcm_s16le"),
    "rf64": _Kind("wav", "pcm_s16le", {"rf64": "always"}),
    "w64": _Kind("w64", "pcm_s16le"),
    "aiff": _Kind("aiff", "pcm_s16be"),
    "au": _Kind("au", "pcm_s16be"),
    "caf": _Kind("caf", "pcm_s16be"),
    "wma": _Kind("asf", "wmav2", {"b": "128k"}),
    "mp3": _Kind("mp3", "libmp3lame"),
    "mka": _Kind("matroska", "libopus"),
    "flac.mka": _Kind("matroska", "flac"),
    "webm": _Kind("webm", "libopus"),
    "opus": _Kind("ogg", "libopus"),
    "ogg": _Kind("ogg", "vorbis", {"strict": "-2"}),
    "oga": _Kind("ogg", "flac"),
    "m4a": _Kind("mp4", "aac", {"movflags": "faststart"}),
    "frag.m4a": _Kind("mp4", "aac", {"movflags": "empty_moov+default_base_moof", "frag_duration": "500000"}),
}
_DEMUXERS = {"matroska": "matroska,webm", "webm": "matroska,webm", "mp4": "mov,mp4,m4a,3gp,3g2,mj2"}
_KINDS = pytest.mark.parametrize("kind", _STATING.values(), ids=_STATING.keys())


class _Pipe:
    """Takes what is written, and cannot go back."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self.data.write(data)


def _write(target: Path | _Pipe, kind: _Kind) -> None:
    """Write noise, which does not pack."""
    file = str(target) if isinstance(target, Path) else cast("IO[bytes]", target)
    noise = np.random.default_rng(7).uniform(-0.5, 0.5, (2, _RATE_HZ * _SECONDS)).astype(np.float32)
    with av.open(file, "w", format=kind.container, options=kind.options) as output:
        stream: Any = output.add_stream(kind.codec, rate=_RATE_HZ, layout="stereo", options=kind.options)
        stream.codec_context.open()
        wanted = stream.codec_context.format
        packer = av.AudioResampler(wanted, "stereo", _RATE_HZ, frame_size=stream.codec_context.frame_size or 1024)
        frame = frame_of(noise, "flt", "stereo", _RATE_HZ)
        frame.pts = 0
        for one in (frame, None):
            for piece in packer.resample(one):
                output.mux(stream.encode(piece))
        output.mux(stream.encode(None))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[_Kind], bytes]:
    """Gives the bytes of a file of a kind."""

    def write(kind: _Kind) -> bytes:
        _write(tmp_path / "whole", kind)
        return (tmp_path / "whole").read_bytes()

    return write


def _seconds(path: Path, data: bytes, *, salvage: bool = False) -> float:
    path.write_bytes(data)
    reader = AudioReader(probe_audio(path), salvage=salvage)
    return sum(block.shape[1] for block in reader.blocks(_RATE_HZ, "stereo")) / _RATE_HZ


def _is_refused(path: Path, data: bytes, container: str) -> bool:
    path.write_bytes(data)
    try:
        refuse_cut(path, _DEMUXERS.get(container, container))
    except MediaError:
        return True
    return False


@_KINDS
def test_half_a_file_is_damaged(kind: _Kind, written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """A dub of half a sentence would pass for the whole; what is there can be salvaged."""
    whole = written(kind)
    assert _seconds(tmp_path / "whole", whole) == pytest.approx(_SECONDS, abs=0.1)
    half = whole[: len(whole) // 2]
    states = "last page" if kind.container == "ogg" else "header"
    with pytest.raises(
        MediaError, match=rf"cut: holds \d+ of the \d+ bytes that its {states} states\. .*salvage"
    ) as it:
        _seconds(tmp_path / "cut", half)
    assert it.value.code == "damaged"
    assert 0.2 * _SECONDS < _seconds(tmp_path / "cut", half, salvage=True) < 0.8 * _SECONDS


@_KINDS
def test_wherever_it_was_cut(kind: _Kind, written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """All cuts are seen but those of a few bytes, and those between two pages or fragments."""
    whole = written(kind)
    last = len(whole) - 4200  # more than what writers miscount
    cuts = range(last // 4, last, 1009)
    missed = sum(not _is_refused(tmp_path / "cut", whole[:cut], kind.container) for cut in cuts)
    assert missed <= (len(cuts) // 8 if kind in (_STATING["frag.m4a"], _STATING["ogg"]) else 0)


@pytest.mark.parametrize(
    "kind", [kind for name, kind in _STATING.items() if name not in ("rf64", "w64", "aiff", "m4a")], ids=str
)
def test_what_was_written_to_a_pipe_is_whole(kind: _Kind, tmp_path: Path) -> None:
    """Writers cannot go back there to state what they did not know; FFmpeg reads no others that it wrote to one."""
    pipe = _Pipe()
    _write(pipe, kind)
    assert _seconds(tmp_path / "piped", pipe.data.getvalue()) == pytest.approx(_SECONDS, abs=0.1)


def _stating(data: bytes, marker: bytes, offset: int, size: bytes) -> bytes:
    place = data.index(marker) + offset
    return data[:place] + size + data[place + len(size) :]


_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_SEGMENT = b"\x18\x53\x80\x67"
_UNKNOWN = {
    "wav": (b"data", 4, "<I", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000]),
    "rf64": (b"ds64", 16, "<q", [0, -1]),
    "w64": (_W64_DATA, 16, "<q", [0, 24, -1, (1 << 63) - 1]),
    "aiff": (b"SSND", 4, ">I", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7F000008]),
    "au": (b".snd", 8, ">I", [0, 0xFFFFFFFF]),
    "caf": (b"data", 4, ">q", [0, -1]),
    "mka": (_SEGMENT, 4, ">B", [0xFF]),
    "webm": (_SEGMENT, 4, ">Q", [0x01FFFFFFFFFFFFFF, 0x0100000000000000]),
}


@pytest.mark.parametrize(("name", "size"), [(name, size) for name, (*_, sizes) in _UNKNOWN.items() for size in sizes])
def test_one_that_does_not_say_its_size_is_whole(
    name: str, size: int, written: Callable[[_Kind], bytes], tmp_path: Path
) -> None:
    """Programs put nothing there, the largest number, or one that is near it."""
    kind, (marker, offset, form, _) = _STATING[name], _UNKNOWN[name]
    whole = written(kind)
    live = _stating(whole, marker, offset, struct.pack(form, size))
    assert _is_refused(tmp_path / "cut", whole[: len(whole) // 2], kind.container)
    assert not _is_refused(tmp_path / "live", live[: len(whole) // 2], kind.container)


def test_headers_that_are_counted_among_the_samples_do_not_cut_a_file(
    written: Callable[[_Kind], bytes], tmp_path: Path
) -> None:
    """Some writers do."""
    whole = written(_STATING["wav"])
    samples = _RATE_HZ * _SECONDS * 4
    assert _seconds(tmp_path / "s", _stating(whole, b"data", 4, struct.pack("<I", samples + 44))) == _SECONDS


def test_what_stands_around_the_samples_is_none_of_them(written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """Chunks of any length before them, chunks, tags and other files after them."""
    whole = written(_STATING["wav"])
    place = whole.index(b"data")
    odd = (
        whole[:place]
        + b"junk"
        + struct.pack("<I", 3)
        + b"abc\0"
        + b"none\0\0\0\0"
        + whole[place:]
        + b"LIST\x04\0\0\0INFO"
    )
    assert _seconds(tmp_path / "s", odd) == _SECONDS
    assert _is_refused(tmp_path / "s", odd[: len(odd) // 2], "wav")
    tag = b"TAG" + b"x" * 125
    for name in ("wav", "aiff", "mp3", "oga"):
        assert _seconds(tmp_path / "s", written(_STATING[name]) + tag) == pytest.approx(_SECONDS, abs=0.1)
    for name in ("mp3", "oga"):
        whole = written(_STATING[name])
        assert _seconds(tmp_path / "s", whole + whole) == pytest.approx(2 * _SECONDS, abs=0.2)
    assert not _is_refused(tmp_path / "s", written(_STATING["oga"]) + bytes(100_000), "ogg")


def test_a_picture_before_an_mp3_does_not_count(written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """Tags are put in front of what the header counts, and taken away."""
    whole = written(_STATING["mp3"])
    tag = b"ID3\x03\0\0\0\0\x7f\x7f" + bytes(127 * 129)
    tagged = tag + whole
    assert _seconds(tmp_path / "s", tagged) == pytest.approx(_SECONDS, abs=0.1)
    assert _is_refused(tmp_path / "s", tagged[: len(tagged) - 5000], "mp3")
    assert _seconds(tmp_path / "s", whole[whole.index(b"\xff\xfb") :]) == pytest.approx(_SECONDS, abs=0.1)


def test_an_mp3_without_a_header_of_its_length_passes(written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """Nothing says how long it should be; its bit rate says how long it is."""
    whole = written(_Kind("mp3", "libmp3lame", {"write_xing": "0"}))
    assert _seconds(tmp_path / "s", whole[: len(whole) // 2]) < 0.6 * _SECONDS


@pytest.mark.parametrize("flags", [0x02, 0x0F])
def test_mp3_frames_with_checksums_state_their_length_too(flags: int, tmp_path: Path) -> None:
    """As LAME writes them: the checksum takes the place of side information."""
    frames = struct.pack(">I", 300) if flags & 1 else b""
    head = b"\xff\xf2\x88\xc4\x34\xcd" + bytes(7) + b"Xing" + struct.pack(">I", flags) + frames
    file = head + struct.pack(">I", 50_000)
    assert _is_refused(tmp_path / "cut", file + bytes(30_000), "mp3")
    assert not _is_refused(tmp_path / "whole", file + bytes(50_000 - len(file)), "mp3")


def test_sizes_of_more_than_4_gib_count_too(tmp_path: Path) -> None:
    """MP4 states them behind the kind, RF64 in its first chunk; files may have holes instead of bytes."""
    size = 5 << 30
    boxes = struct.pack(">I4s4x", 12, b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 16 + size)
    chunks = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 0, size, 0, 0) + b"data\xff\xff\xff\xff"
    for head, container in ((boxes, "mp4"), (chunks, "wav")):
        path = tmp_path / container
        assert _is_refused(path, head + bytes(9000), container)
        with path.open("r+b") as file:
            file.truncate(len(head) + size)
        refuse_cut(path, _DEMUXERS.get(container, container))


def test_a_video_is_refused_where_it_is_heard(tmp_path: Path) -> None:
    """Files with frames are given as audio too."""
    write_clip(tmp_path / "v.mkv", ClipSpec(tone=ToneSpec(2.0)))
    whole = (tmp_path / "v.mkv").read_bytes()
    assert _seconds(tmp_path / "v.mkv", whole) == pytest.approx(2, abs=0.1)
    with pytest.raises(MediaError, match="bytes that its header states"):
        _seconds(tmp_path / "v.mkv", whole[: len(whole) * 3 // 4])


def test_an_ogg_file_that_ends_with_a_page_passes(written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """Recordings of streams and players lack the mark of the end: refusing what has none would refuse them."""
    whole = written(_STATING["oga"])
    live = whole[: whole.rindex(b"OggS")]
    assert 0 < _seconds(tmp_path / "s", live) < _SECONDS
    assert _is_refused(tmp_path / "s", live + b"OggS\0\0", "ogg")


@pytest.mark.parametrize("name", _STATING)
def test_any_bytes_are_borne(name: str, written: Callable[[_Kind], bytes], tmp_path: Path) -> None:
    """Whatever headers say, it ends, and nothing but a refusal comes of it."""
    kind, rng = _STATING[name], np.random.default_rng(3)
    whole = bytearray(written(kind)[:4000])
    for _ in range(100):
        data = whole.copy()
        for place in rng.integers(0, rng.choice([20, 200]), 8):
            data[place] = rng.integers(0, 256)
        _is_refused(tmp_path / "s", bytes(data[: rng.integers(0, 4000)]), kind.container)
