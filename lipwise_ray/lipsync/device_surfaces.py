"""Surfaces for an encoder on a device, filled with torch.

NVENC registers a surface by the address and row length of its first plane, takes the second to follow it, and reads
both when it pleases. So the planes of a surface lie in one piece of memory, surfaces live as long as their encoder, and
one is filled again only when the packet of the frame in it has come. How many it takes the encoder decides by the
number of frames that it keeps; FFmpeg knows 64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from av.video.frame import CudaContext, VideoFrame

from lipwise_ray.lipsync.device_copies import DeviceCopies
from lipwise_ray.lipsync.device_resident import resident
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from torch import Tensor

    from lipwise_ray.media.encoder_surfaces import SurfaceFormat

_MOST_SURFACES = 64
_ROW_BYTES = 256
"""Rows begin at multiples of it, as those of FFmpeg's own surfaces do."""

_P010_SHIFT = 6


class DeviceSurfaces:
    """Surfaces of one size and format.

    Args:
        device: ``cuda``, or ``cpu`` where the same arithmetic is to be tested.
        size: Of the frames, even.
        surface_format: Of the samples.
        accelerator: Makes PyAV's description of the device; None without one.
    """

    def __init__(
        self, device: str, size: Size, surface_format: SurfaceFormat, accelerator: Callable[[], HWAccel] | None
    ) -> None:
        self.format = surface_format
        self._size = size
        self._accelerator = accelerator
        self._copies = DeviceCopies(torch.device(device))
        self._free: deque[Tensor] = deque()
        self._held: dict[int, Tensor] = {}
        # As in decoding FFmpeg is to take the context that torch has made current.
        self._context = CudaContext(0, primary_ctx=False, current_ctx=True) if device == "cuda" else None

    def accelerator(self) -> HWAccel | None:
        """Return PyAV's description of the device, None without one."""
        return self._accelerator() if self._accelerator else None

    def filled(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """Return a surface with a frame's samples; only this thread waits until they are there.

        Planes that the frame has on the device are copied there, all others are uploaded.

        Args:
            frame: A frame in the planar format.
            pts: Its time.

        Raises:
            RuntimeError: The device failed, or the encoder keeps too many surfaces.
        """
        height, width = self._size.height, self._size.width
        with self._copies.working():
            surface = self._free.popleft() if self._free else self._made()
            self._held[pts] = surface
            luma, chroma = surface[:height, :width], surface[height:, :width]
            first, *colours = self._planes(frame)
            luma.copy_(self._stored(first))
            for number, samples in enumerate(colours):
                chroma[:, number::2].copy_(self._stored(samples))
            if surface.is_cuda:
                done = torch.cuda.Event()
                done.record()
                done.synchronize()
            # torch would make its default stream wait, which none of this needs: PyAV is given the capsules.
            unsigned = [part if part.itemsize == 1 else part.view(torch.uint16) for part in (luma, chroma)]
            planes = tuple(torch.to_dlpack(part) for part in unsigned)
        return VideoFrame.from_dlpack(planes, self.format.name, width, height, cuda_context=self._context)

    def returned(self, pts: int) -> None:
        """Take back the surface of the frame at a time."""
        surface = self._held.pop(pts, None)
        if surface is not None:
            self._free.append(surface)

    def _made(self) -> Tensor:
        if len(self._held) >= _MOST_SURFACES:
            raise RuntimeError(f"the encoder keeps more than {_MOST_SURFACES} frames")
        dtype = torch.uint8 if self.format.name == "nv12" else torch.int16
        step = _ROW_BYTES // dtype.itemsize
        rows = self._size.height + self._size.height // 2
        return torch.empty((rows, -(-self._size.width // step) * step), dtype=dtype, device=self._copies.device)

    def _planes(self, frame: VideoFrame) -> list[Tensor]:
        """Return a frame's planes on the device."""
        numbers = range(len(frame.planes))
        found = resident(frame, self._copies.device)
        if found is not None:
            return [found.for_current_stream(number) for number in numbers]
        planes = [plane_array(frame, number) for number in numbers]
        return [self._copies.sent(plane if plane.itemsize == 1 else plane.view(np.int16)) for plane in planes]

    def _stored(self, samples: Tensor) -> Tensor:
        """Return samples as the surface stores them: P010 has its 10 bits in the upper ones of 16."""
        if samples.dtype == torch.uint8:
            return samples
        return (samples.to(torch.int32) << _P010_SHIFT).to(torch.int16)
