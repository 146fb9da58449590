"""Segments whose encoder reads frames from a device's surfaces: which do, whether they are the same, and fallbacks."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_resident import ResidentPlanes, ResidentRoom
from lipwise_ray.lipsync.device_surfaces import DeviceSurfaces
from lipwise_ray.lipsync.video_engine import cuda_accelerator, hardware_encoding
from lipwise_ray.media.encode import HARDWARE_CODECS, EncodeSpec
from lipwise_ray.media.encoder_surfaces import SURFACE_FORMATS, SurfaceFeed, SurfaceFormat
from lipwise_ray.media.hardware_encoding import HardwareEncoding
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.synth.clips import ClipSpec, codes, draw_frame
from lipwise_ray.values import ColorTags, Size

UNREADABLE = re.compile("Invalid argument|Operation not supported")  # as FFmpeg 8 says it, and as 9 does
NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="shows a machine without a GPU")
FRAMES = 70
"""More than x264 keeps."""

CLIP = ClipSpec(size=Size(320, 240))
TAGS = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)
RATE = Fraction(25)
SPEC = EncodeSpec("libx264", 0, "fast", 25, "yuv420p", CLIP.size, RATE, 1 / RATE, TAGS, Fraction(1), 1)
"""Without loss, so that what was encoded is known to the bit whatever the encoder decides."""


def _surfaces(size: Size, surface_format: SurfaceFormat) -> DeviceSurfaces:
    return DeviceSurfaces("cpu", size, surface_format, None)


def _encoding(make: Callable[..., Any] = _surfaces) -> HardwareEncoding:
    """Encoding from a device's memory by an encoder in software, which takes surfaces the same way."""
    return HardwareEncoding(make, ("libx264",))


def _feed(surfaces: Any, problems: list[str] | None = None) -> SurfaceFeed:
    return SurfaceFeed(surfaces, (problems if problems is not None else []).append)


def _keep(frame: Any) -> None:
    """Put a copy of a frame's planes on the device, and nothing of use into its own."""
    planes = [plane_array(frame, n) for n in range(3)]
    frame.opaque = ResidentPlanes(tuple(torch.from_numpy(one.copy()) for one in planes), None, ResidentRoom())
    for plane in planes:
        plane[:] = 99


def _planes(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[plane_array(frame, n).copy() for n in range(3)] for frame in container.decode(video=0)]


def _equal(ours: list[list[np.ndarray]], theirs: list[list[np.ndarray]]) -> bool:
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)
    )


def _written(
    path: Path, spec: EncodeSpec, feed: SurfaceFeed | None, source: ColorTags | None = None, *, keep: bool = False
) -> list[list[np.ndarray]]:
    """Write a segment, every other frame of which may be on the device alone; return its planes."""
    with SegmentWriter(path, spec, source, feed) as writer:
        for number in range(FRAMES):
            frame = draw_frame(CLIP, number)
            if keep and number % 2:
                _keep(frame)
            writer.write(frame, number)
        assert writer.finish().frames == FRAMES
    return _planes(path)


WRITTEN: dict[str, tuple[EncodeSpec, ColorTags | None]] = {
    "as it is": (SPEC, None),
    "full range": (replace(SPEC, color=replace(TAGS, full_range=True)), None),
    "enlarged": (replace(SPEC, size=Size(324, 242)), None),
    "other colours": (SPEC, replace(TAGS, matrix=6)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_segment_is_the_same(name: str, tmp_path: Path) -> None:
    """Sample by sample, for frames on the device and such that are uploaded, prepared for the encoder or not."""
    spec, source = WRITTEN[name]
    surfaces = _surfaces(spec.size, SURFACE_FORMATS["yuv420p"])
    is_prepared = spec.size != CLIP.size or source is not None
    ours = _written(tmp_path / "a.mkv", spec, _feed(surfaces), source, keep=not is_prepared)
    assert _equal(ours, _written(tmp_path / "b.mkv", spec, None, source))
    assert not surfaces._held
    assert len(surfaces._free) < FRAMES // 2


def test_an_encoder_that_looks_ahead_gets_every_frame_once(tmp_path: Path) -> None:
    """Surfaces come back out of order and late; there are as many as the encoder keeps at a time, and no more."""
    surfaces = _surfaces(CLIP.size, SURFACE_FORMATS["yuv420p"])
    with SegmentWriter(tmp_path / "a.mkv", replace(SPEC, quality=20, preset="medium"), feed=_feed(surfaces)) as writer:
        for number in range(FRAMES):
            writer.write(draw_frame(CLIP, number), number)
        assert writer.finish().reorder > 0
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert codes(container.decode(video=0)) == list(range(FRAMES))
    assert not surfaces._held
    assert 20 < len(surfaces._free) < FRAMES - 20


class FailingSurfaces(DeviceSurfaces):
    """Fails at the tenth frame."""

    error: BaseException = RuntimeError("CUDA error: the device hangs")

    def filled(self, frame: Any, pts: int) -> Any:
        if pts == 9:
            raise self.error
        return super().filled(frame, pts)


class ForgetfulSurfaces(FailingSurfaces):
    """Runs out of memory there."""

    error = torch.OutOfMemoryError("CUDA out of memory")


class UnreadableSurfaces(DeviceSurfaces):
    """Gives the encoder what it cannot read as the tenth frame."""

    def filled(self, frame: Any, pts: int) -> Any:
        return super().filled(frame, pts) if pts != 9 else av.VideoFrame(0, 0, "nv12")


class WrongSurfaces(DeviceSurfaces):
    """The colours of one frame are others."""

    def filled(self, frame: Any, pts: int) -> Any:
        surface = super().filled(frame, pts)
        if pts == 9:
            np.frombuffer(surface.planes[1], np.uint8)[:] ^= 0x40
        return surface


def _made(kind: type[DeviceSurfaces]) -> Callable[[Size, SurfaceFormat], DeviceSurfaces]:
    return lambda size, surface_format: kind("cpu", size, surface_format, None)


def test_frames_go_on_from_this_machines_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the device fails the segment is the same still, and it is said once, and told to whoever lent it."""
    problems: list[str] = []
    feed = _feed(_made(FailingSurfaces)(SPEC.size, SURFACE_FORMATS["yuv420p"]), problems)
    with caplog.at_level(logging.WARNING, "lipwise_ray"):
        ours = _written(tmp_path / "a.mkv", SPEC, feed)
    assert _equal(ours, _written(tmp_path / "b.mkv", SPEC, None))
    assert problems == ["CUDA error: the device hangs"]
    assert caplog.text.count("from this machine's memory") == 1


REFUSALS = {"the device": (FailingSurfaces, True), "memory": (ForgetfulSurfaces, False)}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_failed_once_is_left_alone(name: str, tmp_path: Path) -> None:
    """The process's next segments do without the device, unless it was but short of memory."""
    kind, is_remembered = REFUSALS[name]
    kinds: list[type[DeviceSurfaces]] = [DeviceSurfaces]  # what the comparison finds
    encoding = _encoding(lambda size, surface_format: kinds[-1]("cpu", size, surface_format, None))
    assert encoding.feed(SPEC) is not None
    kinds.append(kind)
    with SegmentWriter(tmp_path / "a.mkv", SPEC, feed=encoding.feed(SPEC)) as writer:
        for number in range(12):
            writer.write(draw_frame(CLIP, number), number)
        writer.finish()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert codes(container.decode(video=0)) == list(range(12))
    assert (encoding.feed(SPEC) is None) == is_remembered


@pytest.mark.slow
def test_an_encoder_that_fails_is_fed_otherwise_the_next_time(tmp_path: Path) -> None:
    """What the encoder says is raised, for a segment cannot change its encoder; the next attempt goes plainly."""
    kinds: list[type[DeviceSurfaces]] = [DeviceSurfaces]
    encoding = _encoding(lambda size, surface_format: kinds[-1]("cpu", size, surface_format, None))
    assert encoding.problem("libx264", "yuv420p") == ""
    kinds.append(UnreadableSurfaces)
    with pytest.raises(av.error.FFmpegError):
        _written(tmp_path / "a.mkv", SPEC, encoding.feed(SPEC))
    assert encoding.feed(SPEC) is None
    assert UNREADABLE.search(encoding.problem("libx264", "yuv420p"))


BAD = {
    "colours": (_made(WrongSurfaces), "is another one than without"),
    "a failure": (_made(FailingSurfaces), "the device hangs"),
    "the encoder": (_made(UnreadableSurfaces), UNREADABLE.pattern),
}


@pytest.mark.parametrize("name", BAD)
def test_surfaces_that_differ_are_not_used(name: str) -> None:
    """One frame or one error in the comparison is enough, and the reason is said."""
    make, reason = BAD[name]
    encoding = _encoding(make)
    assert encoding.feed(SPEC) is None
    assert re.search(reason, encoding.problem("libx264", "yuv420p"))


PLAIN = {
    "another codec": replace(SPEC, codec="libx265"),
    "another format": replace(SPEC, pixel_format="yuv444p"),
    "an odd size": replace(SPEC, size=Size(321, 240)),
    "fields": replace(SPEC, field_order="tt"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_other_segments_are_encoded_plainly(name: str) -> None:
    """Of what the device has no surfaces for nothing is tried."""
    encoding = _encoding()
    assert encoding.feed(PLAIN[name]) is None
    assert not encoding._problems


@NO_CARD
def test_a_machine_without_a_gpu_says_so(tmp_path: Path) -> None:
    """NVENC has its reason for getting frames plainly, and a segment is written although its device does not open."""
    encoding = hardware_encoding("cuda")
    assert encoding is not None
    assert hardware_encoding("cpu") is None
    for codec in HARDWARE_CODECS:
        for pixel_format in SURFACE_FORMATS:
            assert encoding.problem(codec, pixel_format)
    problems: list[str] = []
    surfaces = DeviceSurfaces("cpu", SPEC.size, SURFACE_FORMATS["yuv420p"], cuda_accelerator)
    ours = _written(tmp_path / "a.mkv", SPEC, _feed(surfaces, problems))
    assert _equal(ours, _written(tmp_path / "b.mkv", SPEC, None))
    assert problems == ["there is no CUDA device"]
