"""Surfaces from which an encoder on a device reads: what is in them, and when one is filled again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_resident import ResidentPlanes, ResidentRoom
from lipwise_ray.lipsync.device_surfaces import DeviceSurfaces
from lipwise_ray.media.encoder_surfaces import SURFACE_FORMATS
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.values import Size

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
SIZE = Size(150, 82)


def _frame(name: str, seed: int) -> Any:
    """A frame of noise whose rows are longer than the picture."""
    frame = av.VideoFrame(SIZE.width, SIZE.height, name)
    rng = np.random.default_rng(seed)
    for n in range(3):
        plane = plane_array(frame, n)
        plane[:] = rng.integers(0, 256 if plane.itemsize == 1 else 1024, plane.shape)
    return frame


def _keep(frame: Any, device: str) -> None:
    planes = [plane_array(frame, n) for n in range(3)]
    stored = [np.array(one if one.itemsize == 1 else one.view(np.int16)) for one in planes]
    frame.opaque = ResidentPlanes(tuple(torch.from_numpy(one).to(device) for one in stored), None, ResidentRoom())


def _surfaces(encoded: str = "yuv420p", device: str = "cpu") -> DeviceSurfaces:
    return DeviceSurfaces(device, SIZE, SURFACE_FORMATS[encoded], None)


def _samples(frame: Any) -> list[np.ndarray]:
    """The samples of a surface's two planes, wherever they are."""
    dtype = np.uint8 if (frame.sw_format or frame.format).name == "nv12" else np.uint16
    planes = (torch.from_dlpack(plane.__dlpack__()).cpu() for plane in frame.planes)
    return [plane.numpy().view(dtype).reshape(len(plane), -1)[:, : SIZE.width] for plane in planes]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("is_resident", [False, True])
@pytest.mark.parametrize("encoded", SURFACE_FORMATS)
def test_a_surface_holds_what_ffmpeg_makes_of_a_frame(encoded: str, is_resident: bool, device: str) -> None:  # noqa: FBT001  # of pytest
    """Its samples are to the bit those of FFmpeg's conversion, whether the planes are there or are uploaded."""
    surface_format = SURFACE_FORMATS[encoded]
    frame = _frame(surface_format.planar, 1)
    theirs = frame.reformat(format=surface_format.name)
    if is_resident:
        _keep(frame, device)
        for n in range(3):
            plane_array(frame, n)[:] = 7  # nothing of these goes up
    ours = _samples(_surfaces(encoded, device).filled(frame, 0))
    assert all(np.array_equal(a, b) for a, b in zip(ours, _samples(theirs), strict=True))


def test_the_second_plane_follows_the_first() -> None:
    """As NVENC takes for granted: it is told the first one's address and row length alone."""
    for encoded in SURFACE_FORMATS:
        surface = _surfaces(encoded).filled(_frame(SURFACE_FORMATS[encoded].planar, 0), 0)
        luma, chroma = surface.planes
        assert luma.line_size == chroma.line_size
        assert luma.line_size % 256 == 0
        assert chroma.buffer_ptr == luma.buffer_ptr + SIZE.height * luma.line_size


class LateReader:
    """Keeps so many frames and reads one only when its turn comes, groups of three out of order, as NVENC does."""

    def __init__(self, surfaces: DeviceSurfaces, kept: int) -> None:
        self._surfaces, self._kept = surfaces, kept
        self._waiting: deque[tuple[int, Any]] = deque()
        self.addresses: set[int] = set()

    def encode(self, frame: Any, pts: int) -> Iterator[tuple[int, list[np.ndarray]]]:
        surface = self._surfaces.filled(frame, pts)
        self.addresses.add(surface.planes[0].buffer_ptr)
        self._waiting.append((pts, surface))
        if len(self._waiting) > self._kept + 3:
            yield from self._read()

    def flush(self) -> Iterator[tuple[int, list[np.ndarray]]]:
        while self._waiting:
            yield from self._read()

    def _read(self) -> Iterator[tuple[int, list[np.ndarray]]]:
        group = [self._waiting.popleft() for _ in range(min(3, len(self._waiting)))]
        for pts, surface in (*group[-1:], *group[:-1]):
            yield pts, [np.array(one) for one in _samples(surface)]
            self._surfaces.returned(pts)


@pytest.mark.parametrize("kept", [0, 4, 30])
def test_a_surface_is_filled_again_once_its_packet_has_come(kept: int) -> None:
    """However late and in whatever order an encoder reads, it finds each frame; it takes no more surfaces than that."""
    surfaces = _surfaces()
    encoder, frames = LateReader(surfaces, kept), [_frame("yuv420p", n) for n in range(60)]
    found: dict[int, list[np.ndarray]] = {}
    for pts, frame in enumerate(frames):
        found |= dict(encoder.encode(frame, pts))
    found |= dict(encoder.flush())
    assert sorted(found) == list(range(60))
    for pts, samples in found.items():
        theirs = _samples(frames[pts].reformat(format="nv12"))
        assert all(np.array_equal(a, b) for a, b in zip(samples, theirs, strict=True))
    assert len(encoder.addresses) == kept + 4


def test_an_encoder_that_returns_nothing_is_not_followed() -> None:
    """FFmpeg knows 64 surfaces: none is filled twice instead."""
    surfaces = _surfaces()
    frame = _frame("yuv420p", 0)
    held = [surfaces.filled(frame, pts) for pts in range(64)]
    assert len({surface.planes[0].buffer_ptr for surface in held}) == 64
    with pytest.raises(RuntimeError, match="keeps more than 64"):
        surfaces.filled(frame, 64)


def test_surfaces_outlive_whoever_made_them(tmp_path: Path) -> None:
    """An encoder that still holds frames when the surfaces are let go of finds their samples."""
    surfaces, frames = _surfaces(), [_frame("yuv420p", n) for n in range(5)]
    held = [surfaces.filled(frame, pts) for pts, frame in enumerate(frames)]
    del surfaces
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(25), options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "nv12"
        for surface in (*held, None):
            container.mux(stream.encode(surface))
    with av.open(str(tmp_path / "a.mkv")) as container:
        for ours, frame in zip(container.decode(video=0), frames, strict=True):
            assert all(np.array_equal(plane_array(ours, n), plane_array(frame, n)) for n in range(3))
