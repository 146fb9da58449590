"""Planes of frames that lie on a device too, so that no rectangle of them goes there again.

They go with their frame as PyAV's ``opaque``, which lives as long as the frame does. PyAV tells these objects apart by
their address, so each frame has one of its own. The frame's own planes stay what counts: whoever writes to those alone
takes this off, and nothing looks different without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from lipwise_ray.lipsync import device_sampling as sampling
from lipwise_ray.media.pixels import plane_array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from lipwise_ray.values import PixelArray

Rectangle: TypeAlias = "tuple[slice, slice]"
"""Rows and columns of a plane."""


class ResidentRoom:
    """Room on a device that a frame takes until nothing holds it any more."""


@dataclass(frozen=True, slots=True)
class ResidentPlanes:
    """Planes of a frame on a device; nobody writes to them, as another stream may still read.

    Attributes:
        planes: Samples as they are stored, shape (rows, columns) each; those of 16 bits as signed numbers.
        made: The event from which on they are there; None where nothing is waited for.
        room: Room that they take.
    """

    planes: tuple[Tensor, ...]
    made: torch.cuda.Event | None
    room: ResidentRoom

    def for_current_stream(self, plane: int) -> Tensor:
        """Return a plane; what the current stream does with it waits until it is there."""
        samples = self.planes[plane]
        if self.made is not None:
            stream = torch.cuda.current_stream(samples.device)
            stream.wait_event(self.made)
            samples.record_stream(stream)
        return samples


def resident(frame: VideoFrame, device: torch.device) -> ResidentPlanes | None:
    """Return the planes that a frame has on a device, None where it has none there."""
    found = frame.opaque
    return found if isinstance(found, ResidentPlanes) and found.planes[0].device.type == device.type else None


def resident_rectangles(
    frames: Sequence[VideoFrame], plane: int, rectangles: Sequence[Rectangle], device: torch.device
) -> sampling.Rectangles | None:
    """Return rectangles of planes that are on a device, None where one is not: one copy for all, in its memory.

    Args:
        frames: The frames.
        plane: Number of the plane.
        rectangles: Of each frame.
        device: The device.
    """
    found = [resident(frame, device) for frame in frames]
    planes = [one.for_current_stream(plane) for one in found if one is not None]
    if len(planes) < len(frames):
        return None
    # Whole rows lie in one piece of memory: torch joins such pieces in a single step.
    bands = [samples[rows].reshape(-1) for samples, (rows, _) in zip(planes, rectangles, strict=True)]
    begins = accumulate((len(band) for band in bands[:-1]), initial=0)
    sizes = (
        [begin + columns.start for begin, (_, columns) in zip(begins, rectangles, strict=True)],
        [samples.shape[1] for samples in planes],
        [columns.start for _, columns in rectangles],
        [rows.start for rows, _ in rectangles],
        [columns.stop - columns.start for _, columns in rectangles],
        [rows.stop - rows.start for rows, _ in rectangles],
    )
    return sampling.Rectangles(torch.cat(bands), *(sampling.column(values, device) for values in sizes))


def keep_up(frames: Sequence[VideoFrame], plane: int, rectangles: Sequence[Rectangle], samples: Tensor) -> None:
    """Give the planes that frames have on a device the samples that are written to their own.

    Args:
        frames: The frames, each of them once.
        plane: Number of the plane.
        rectangles: Of each frame.
        samples: Those of the rectangles, one after the other, as they are stored; the current stream computes them.
    """
    begin, fresh = 0, list[tuple["VideoFrame", ResidentPlanes]]()
    for frame, (rows, columns) in zip(frames, rectangles, strict=True):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        found = resident(frame, samples.device)
        if found is not None:
            whole = found.for_current_stream(plane).clone()
            whole[rows, columns] = samples[begin : begin + height * width].view(height, width)
            planes = (*found.planes[:plane], whole, *found.planes[plane + 1 :])
            fresh.append((frame, replace(found, planes=planes)))
        begin += height * width
    made = torch.cuda.Event() if samples.is_cuda and fresh else None
    if made is not None:
        made.record()
    for frame, planes in fresh:
        frame.opaque = replace(planes, made=made)


def hold(frame: VideoFrame, device: str) -> Callable[[], list[PixelArray]]:
    """Put a frame's planes on a device too; return what tells how they look there, none where they were taken off.

    Args:
        frame: A planar frame.
        device: The device.
    """
    stored = [plane_array(frame, number) for number in range(len(frame.planes))]
    signed = [np.array(plane if plane.itemsize == 1 else plane.view(np.int16)) for plane in stored]
    kept = ResidentPlanes(tuple(torch.from_numpy(plane).to(device) for plane in signed), None, ResidentRoom())
    frame.opaque = kept

    def looks() -> list[PixelArray]:
        found = resident(frame, torch.device(device))
        planes = [] if found is None else [found.for_current_stream(number) for number in range(len(stored))]
        return [plane.cpu().numpy().view(stored[0].dtype) for plane in planes]

    return looks
