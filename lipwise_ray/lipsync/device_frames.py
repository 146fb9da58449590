"""Frames from a video engine to this machine's memory, with torch: split into planes on the device, a few ahead.

FFmpeg's work for a frame is on the device's default stream. PyAV takes no consumer's stream, so ours waits for that
one; and the engine's surface goes back to the decoder with its frame, which is therefore held until its copy is done.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch

from lipwise_ray.lipsync.device_copies import DeviceCopies
from lipwise_ray.lipsync.device_resident import ResidentPlanes, ResidentRoom
from lipwise_ray.media.colours import tag, tags_of
from lipwise_ray.media.hdr import NO_HDR, hdr_of
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import extras_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from lipwise_ray.values import PixelArray

_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
_AHEAD = 3
"""Frames whose copies are under way while one is worked on."""

_P010_SHIFT, _10_BITS = 6, 0x3FF


@dataclass(frozen=True, slots=True)
class _FrameCopy:
    """A copy under way.

    Attributes:
        frame: The decoder's, which is held.
        surface: Its planes.
        planes: Those that they were split into.
        memory: The copy: all planes, one after the other.
        done: The event of its end; None where nothing is waited for.
    """

    frame: VideoFrame
    surface: list[Tensor]
    planes: tuple[Tensor, ...]
    memory: Tensor
    done: torch.cuda.Event | None

    def finished(self, room: ResidentRoom | None) -> VideoFrame:
        """Return the frame in this machine's memory; only the thread that asks waits.

        Args:
            room: Room for its planes on the device; None where they do not stay there.
        """
        if self.done is not None:
            self.done.synchronize()
        frame = _planar(self.frame, self.memory)
        frame.opaque = ResidentPlanes(self.planes, self.done, room) if room else None
        return frame


class DeviceDownloads:
    """Brings frames of a device to this machine's memory.

    Args:
        device: ``cuda``, or ``cpu`` where the same arithmetic is to be tested.
        resident_bytes: Room for planes that stay on the device beside the copy; frames beyond it are copied only.
    """

    def __init__(self, device: str, resident_bytes: int = 0) -> None:
        self._copies = DeviceCopies(torch.device(device))
        self._resident_bytes = resident_bytes
        self._rooms: list[weakref.ref[ResidentRoom]] = []

    def __call__(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield frames in planar YUV.

        Args:
            frames: Frames in NV12 or P010, on the device.

        Raises:
            ValueError: One is in another format.
        """
        waiting: deque[_FrameCopy] = deque()
        for frame in frames:
            waiting.append(self._begun(frame))
            if len(waiting) > _AHEAD:
                yield self._finished(waiting.popleft())
        while waiting:
            yield self._finished(waiting.popleft())

    def _finished(self, copy: _FrameCopy) -> VideoFrame:
        self._rooms = [one for one in self._rooms if one() is not None]
        if (len(self._rooms) + 1) * copy.memory.nbytes > self._resident_bytes:
            return copy.finished(None)
        room = ResidentRoom()
        self._rooms.append(weakref.ref(room))
        return copy.finished(room)

    def _begun(self, frame: VideoFrame) -> _FrameCopy:
        name = _semi_planar(frame)
        device = self._copies.device
        with self._copies.working():
            if device.type == "cuda":
                torch.cuda.current_stream(device).wait_stream(torch.cuda.default_stream(device))
            # torch would hand PyAV a stream, which it refuses: it is given the capsule.
            luma, chroma = (torch.from_dlpack(plane.__dlpack__()) for plane in frame.planes)
            split = [_samples(plane, name) for plane in (luma, chroma[..., 0], chroma[..., 1])]
            flat = torch.cat([plane.reshape(-1) for plane in split])
            ends = np.cumsum([plane.numel() for plane in split])[:-1].tolist()
            planes = tuple(part.view(plane.shape) for part, plane in zip(flat.tensor_split(ends), split, strict=True))
            if device.type != "cuda":
                return _FrameCopy(frame, [], planes, flat, None)
            memory, done = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True), torch.cuda.Event()
            memory.copy_(flat, non_blocking=True)
            done.record()
            return _FrameCopy(frame, [luma, chroma], planes, memory, done)


def _semi_planar(frame: VideoFrame) -> str:
    """Return the format of a frame's samples.

    Raises:
        ValueError: It is none that comes from a video engine.
    """
    name = (frame.sw_format or frame.format).name
    if name not in _PLANAR:
        raise ValueError(f"frames come as {name} from the device")
    return name


def _samples(plane: Tensor, name: str) -> Tensor:
    """Return samples as planar formats store them: P010 has its 10 bits in the upper ones of 16."""
    if name == "nv12":
        return plane
    return (plane.view(torch.int16) >> _P010_SHIFT) & _10_BITS


def _planar(frame: VideoFrame, memory: Tensor) -> VideoFrame:
    """Return a frame of planes that lie one after the other in memory, with what a decoded frame says of itself."""
    name = _PLANAR[_semi_planar(frame)]
    height, width = frame.height, frame.width
    shapes = [(height, width), *[(height // 2, width // 2)] * 2]
    flat: PixelArray = memory.numpy() if name == "yuv420p" else memory.numpy().view(np.uint16)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    planes = [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
    if extras_of(frame) or hdr_of(frame) != NO_HDR:
        # Only FFmpeg copies side data from frame to frame; it converts the samples too, which are replaced.
        fresh = frame.reformat(format=name)
        for number, plane in enumerate(planes):
            plane_array(fresh, number)[:] = plane
    else:
        fresh = av.VideoFrame.from_dlpack(tuple[Any, ...](planes), name, width, height)
        fresh.pts, fresh.time_base, fresh.duration = frame.pts, frame.time_base, frame.duration
    tag(fresh, tags_of(frame))
    return fresh
