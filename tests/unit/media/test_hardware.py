"""Decoding by a video engine: which streams it gets, what it is compared with, and software behind it."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.codec.hwaccel import HWAccel

from lipwise_ray.errors import MediaError
from lipwise_ray.lipsync.device_frames import DeviceDownloads
from lipwise_ray.lipsync.device_resident import resident
from lipwise_ray.lipsync.video_engine import cuda_accelerator, video_engine
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.hardware import HardwareDecoder, StreamKind, stream_kind
from lipwise_ray.media.hardware_check import KINDS, HardwareFrames
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import VideoInfo, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.synth.clips import ClipSpec, codes, write_clip
from lipwise_ray.values import Size
from tests.support.video_engine import Change, software_decoder, software_engine

NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="shows a machine without a GPU")
FRAMES = 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoInfo, FrameIndex]:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_clip(path, ClipSpec(frames=FRAMES, options={"bf": "2"}))
    info = probe_video(path)
    return info, build_index(info)


def _planes(frames: Iterator[Any]) -> list[list[np.ndarray]]:
    return [[plane_array(frame, n).copy() for n in range(3)] for frame in frames]


def _equal(ours: list[list[np.ndarray]], theirs: list[list[np.ndarray]]) -> bool:
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_frames_that_are_the_same_are_trusted(kind: StreamKind) -> None:
    """Every kind goes semi-planar to the device's memory and down again without a changed sample."""
    assert software_engine().problem(kind) == ""


def test_so_many_frames_stay_on_the_device(clip: tuple[VideoInfo, FrameIndex]) -> None:
    """Those that there is room for keep their planes there; as they go others do, and a gone one leaves nothing."""
    info, index = clip
    frame_bytes = info.size.width * info.size.height * 3 // 2
    decoder = software_decoder("h264", resident_bytes=5 * frame_bytes)
    with VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader:
        held = list(reader.read(0, 20))
        kept = [resident(frame, torch.device("cpu")) for frame in held]
        assert [one is not None for one in kept] == [True] * 5 + [False] * 15
        for one, frame in zip(kept[:5], held, strict=False):
            assert one is not None
            assert all(np.array_equal(plane.numpy(), plane_array(frame, n)) for n, plane in enumerate(one.planes))
        del held, kept, one, frame
        gc.collect()
        assert all(resident(frame, torch.device("cpu")) for frame in reader.read(20, FRAMES))


CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "cropped": {"crop": (0, -1, 16, -1)},
    "smaller": {"resize_factor": 2},
    "turned": {"rotation": 90},
}


@pytest.mark.parametrize("name", CHANGES)
def test_planes_stay_with_frames_that_are_copied_plainly(name: str, clip: tuple[VideoInfo, FrameIndex]) -> None:
    """Only a frame that is prepared sample by sample as it was decoded has its planes on the device still."""
    info, index = clip
    recipe = make_recipe(info, **CHANGES[name])
    decoder = software_decoder("h264", resident_bytes=1 << 30)
    with VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader:
        made = [recipe.apply(frame) for frame in reader.read_order([3, 4, 4, 3])]
    kept = [resident(frame, torch.device("cpu")) for frame in made]
    assert [one is not None for one in kept] == [name in ("as it is", "turned")] * 4
    for one, frame in zip(kept, made, strict=True):
        for n, plane in enumerate(one.planes if one else ()):
            assert np.array_equal(plane.numpy(), plane_array(frame, n))


def test_frames_made_of_fields_are_not_on_the_device(clip: tuple[VideoInfo, FrameIndex]) -> None:
    """What a filter makes of a frame has not the planes that the frame has there."""
    info, index = clip
    decoder = software_decoder("h264", resident_bytes=1 << 30)
    with VideoReader(info.path, info.stream_index, index, deinterlace=True, hardware=decoder) as reader:
        assert [frame.opaque for frame in reader.read(0, 4)] == [None] * 4


def _one_sample_off(frames: Iterator[Any]) -> Iterator[Any]:
    for number, frame in enumerate(frames):
        if number == 9:
            np.frombuffer(frame.planes[1], np.uint8)[7] ^= 1
        yield frame


def _one_missing(frames: Iterator[Any]) -> Iterator[Any]:
    return (frame for number, frame in enumerate(frames) if number != 9)


def _failing(frames: Iterator[Any]) -> Iterator[Any]:
    for number, frame in enumerate(frames):
        if number == 9:
            raise RuntimeError("CUDA error: the engine hangs")
        yield frame


def _other_format(frames: Iterator[Any]) -> Iterator[Any]:
    return (frame.reformat(format="yuv444p") for frame in frames)


BAD = {
    "a sample": (_one_sample_off, "frame 9 is another one"),
    "a frame": (_one_missing, "frame 9 is another one"),
    "an error": (_failing, "CUDA error: the engine hangs"),
    "a format": (_other_format, "frames come as yuv444p"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_engine_that_differs_is_not_used(name: str, clip: tuple[VideoInfo, FrameIndex]) -> None:
    """One sample, one frame or one error is enough, and the reason is said."""
    change, reason = BAD[name]
    engine = software_engine(change)
    assert engine.decoder(*clip) is None
    assert reason in engine.problem(StreamKind("h264", 8))


def _no_card() -> HWAccel:
    return HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)


@NO_CARD
def test_a_machine_without_a_gpu_says_so() -> None:
    """Each kind has its reason for being decoded in software, and no worker on a CPU asks for an engine."""
    engine = HardwareFrames(lambda codec: HardwareDecoder(codec, _no_card, DeviceDownloads("cpu")))
    assert [one.kind for one in engine.table()] == list(KINDS)
    assert all(one.problem for one in engine.table())
    assert video_engine("cpu", stays=True) is None
    with pytest.raises(RuntimeError, match="no CUDA device"):
        cuda_accelerator()


def test_any_order_reads_the_same(clip: tuple[VideoInfo, FrameIndex]) -> None:
    """Whatever is read of a video comes out bit by bit as software has it, at the same times."""
    info, index = clip
    decoder = software_engine().decoder(info, index)
    assert decoder is not None
    rng = random.Random(3)
    order = [*range(FRAMES), *(rng.randrange(FRAMES) for _ in range(4)), *range(FRAMES - 1, 20, -1), 5, 5]
    with (
        VideoReader(info.path, info.stream_index, index) as plain,
        VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader,
    ):
        assert codes(reader.read_order(order)) == order
        assert _equal(_planes(reader.read_order(order)), _planes(plain.read_order(order)))
        assert [f.pts for f in reader.read(3, 30)] == [f.pts for f in plain.read(3, 30)]


@pytest.mark.parametrize("change", [_failing, _one_missing, _other_format], ids=["error", "lost frame", "format"])
def test_software_goes_on_where_hardware_fails(
    change: Change, clip: tuple[VideoInfo, FrameIndex], caplog: pytest.LogCaptureFixture
) -> None:
    """Every frame comes once and as software has it, and the log says from which one on."""
    info, index = clip
    decoder = software_decoder("h264", change)
    with (
        caplog.at_level(logging.WARNING, "lipwise_ray"),
        VideoReader(info.path, info.stream_index, index) as plain,
        VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader,
    ):
        assert _equal(_planes(reader.read(2, FRAMES)), _planes(plain.read(2, FRAMES)))
        assert "decoded in software from frame" in caplog.text
        assert codes(reader.read(0, 5)) == list(range(5))
    assert caplog.text.count("decoded in software") == 1


@NO_CARD
@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_a_card_that_does_not_open_leaves_it_to_software(codec: str, clip: tuple[VideoInfo, FrameIndex]) -> None:
    """Both ways of opening the hardware end in software's frames where there is none."""
    info, index = clip
    decoder = HardwareDecoder(codec, _no_card, DeviceDownloads("cpu"))
    with VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader:
        assert codes(reader.read(7, 20)) == list(range(7, 20))


def test_damage_is_softwares_to_judge(clip: tuple[VideoInfo, FrameIndex], tmp_path: Path) -> None:
    """A file with damage inside a frame gives the same frames and the same error as without hardware."""
    info, index = clip
    data = bytearray(info.path.read_bytes())
    at = data.index(b"mdat") + 4
    data[at + 3000 : at + 3400] = bytes(400)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(data)

    def read(hardware: HardwareDecoder | None) -> tuple[int, str]:
        count, problem = 0, ""
        with VideoReader(bad, info.stream_index, index, hardware=hardware) as reader:
            try:
                for _ in reader.read(0, FRAMES):
                    count += 1
            except MediaError as error:
                problem = str(error)
        return count, problem

    expected = read(None)
    assert expected[1]
    assert read(software_decoder("h264")) == expected


def _refusing(frames: Iterator[Any]) -> Iterator[Any]:
    del frames
    raise RuntimeError("8192 lines are too many for the engine")
    yield


def _short_of_memory(frames: Iterator[Any]) -> Iterator[Any]:
    del frames
    raise torch.OutOfMemoryError("CUDA out of memory")
    yield


REFUSALS = {
    "refused": (_refusing, True),
    "failed on the way": (_failing, False),
    "short of memory": (_short_of_memory, False),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_was_refused_is_not_tried_again(
    name: str, clip: tuple[VideoInfo, FrameIndex], caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that gave no frame of a sound video is asked for no other of its kind and size; for others it is."""
    change, is_remembered = REFUSALS[name]
    info, index = clip
    changes: list[Change] = [iter]  # what the comparison of the kind finds
    engine = HardwareFrames(lambda codec: software_decoder(codec, changes[-1]))
    assert engine.decoder(info, index) is not None
    changes.append(change)
    with (
        caplog.at_level(logging.WARNING, "lipwise_ray"),
        VideoReader(info.path, info.stream_index, index, hardware=engine.decoder(info, index)) as reader,
    ):
        assert codes(reader.read(0, 15)) == list(range(15))
    assert ("h264 8 bit of 320x240 is decoded in software from now on" in caplog.text) == is_remembered
    assert (engine.decoder(info, index) is None) == is_remembered
    other = Size(64, 64)
    assert engine.decoder(replace(info, size=other), replace(index, sizes=(other,))) is not None


def test_damage_is_no_refusal(clip: tuple[VideoInfo, FrameIndex], tmp_path: Path) -> None:
    """A file that software does not decode either says nothing about its kind."""
    info, index = clip
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(info.path.read_bytes()[:3000])
    engine = software_engine()
    with (
        VideoReader(bad, info.stream_index, index, hardware=engine.decoder(info, index)) as reader,
        pytest.raises(MediaError),
    ):
        list(reader.read(0, 15))
    assert engine.decoder(info, index) is not None


SOFTWARE = {
    "mpeg4.mp4": ClipSpec(codec="mpeg4", frames=5),
    "mpeg2.mkv": ClipSpec(codec="mpeg2video", frames=5),
    "422.mkv": ClipSpec(pixel_format="yuv422p", frames=5),
    "444.mkv": ClipSpec(pixel_format="yuv444p", frames=5),
    "odd.webm": ClipSpec(codec="libvpx-vp9", size=Size(321, 243), frames=5),
    "h264.ts": ClipSpec(frames=5),
}
HARDWARE = {
    "h264.mp4": (ClipSpec(frames=5), StreamKind("h264", 8)),
    "full.mp4": (ClipSpec(frames=5, pixel_format="yuvj420p", full_range=True), StreamKind("h264", 8)),
    "av1.mkv": (ClipSpec(frames=5, codec="libsvtav1", options={"preset": "12"}), StreamKind("av1", 8)),
    "high10.mkv": (ClipSpec(frames=5, pixel_format="yuv420p10le"), StreamKind("h264", 10)),
}


@pytest.mark.parametrize("name", [*SOFTWARE, *HARDWARE])
def test_odd_streams_are_not_for_hardware(name: str, tmp_path: Path) -> None:
    """Other codecs, other formats, odd sizes and time stamps that lie are decoded in software."""
    spec, kind = HARDWARE.get(name) or (SOFTWARE[name], None)
    write_clip(tmp_path / name, spec)
    info = probe_video(tmp_path / name)
    index = build_index(info)
    assert stream_kind(info, index) == kind
    if kind is not None:
        assert stream_kind(replace(info, field_order="tt"), index) is None
        assert stream_kind(info, replace(index, sizes=(*index.sizes, Size(64, 64)))) is None
    if kind == StreamKind("h264", 10):
        assert software_engine().decoder(info, index) is None


def test_what_a_frame_says_of_itself_comes_along(tmp_path: Path) -> None:
    """Colours and the description of the dynamic range are those that software hands on."""
    from lipwise_ray.media.colours import tags_of
    from lipwise_ray.media.hdr import NO_HDR, hdr_of

    path = tmp_path / "hdr.mkv"
    light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    with av.open(str(path), "w") as container:
        options = {"x265-params": f"log-level=error:hdr10=1:repeat-headers=1:{light}", "preset": "ultrafast"}
        stream: Any = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p10le"
        stream.codec_context.color_primaries = stream.codec_context.colorspace = 9
        stream.codec_context.color_trc = 16
        for number in range(4):
            frame = av.VideoFrame(320, 192, "yuv420p10le")
            for n in range(3):
                plane_array(frame, n)[:] = np.random.default_rng(number).integers(200, 800, plane_array(frame, n).shape)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_video(path)
    index = build_index(info)
    with (
        VideoReader(path, 0, index) as plain,
        VideoReader(path, 0, index, hardware=software_decoder("hevc")) as reader,
    ):
        for ours, theirs in zip(reader.read(0, 4), plain.read(0, 4), strict=True):
            assert hdr_of(ours) == hdr_of(theirs) != NO_HDR
            assert tags_of(ours) == tags_of(theirs)
            assert _equal(_planes(iter([ours])), _planes(iter([theirs])))
