"""Copies to a device and back: through pinned memory, on a stream a thread, and waited for where they are needed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from lipwise_ray.lipsync import device_sampling as sampling
from lipwise_ray.lipsync.device_resident import Rectangle, resident_rectangles
from lipwise_ray.media.pixels import plane_array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from lipwise_ray.media.planes import FaceImage
    from lipwise_ray.values import F32Array, PixelArray


class DeviceImage:
    """An image of a batch on a device; the batch is copied to this machine's memory when somebody asks for it there.

    Args:
        batch: The batch.
        number: The image's in it.
    """

    def __init__(self, batch: _Batch, number: int) -> None:
        self._batch = batch
        self._number = number

    def host(self) -> F32Array:
        """Return it in this machine's memory."""
        return cast("F32Array", self._batch.host()[self._number].numpy())

    def on_device(self) -> Tensor:
        """Return the image for use on the current stream."""
        return self._batch.for_current_stream()[self._number]


class _Batch:
    """Images on a device.

    Args:
        images: Shape (B, ...); the current stream computes them.
    """

    def __init__(self, images: Tensor) -> None:
        self._images = images
        self._made = torch.cuda.Event() if images.is_cuda else None
        if self._made is not None:
            self._made.record()
        self._lock = threading.Lock()
        self._copy: Tensor | None = None if images.is_cuda else images
        self._done: torch.cuda.Event | None = None

    def for_current_stream(self) -> Tensor:
        """Return the images; what the current stream does with them waits until they are there."""
        if self._made is not None:
            stream = torch.cuda.current_stream(self._images.device)
            stream.wait_event(self._made)
            self._images.record_stream(stream)
        return self._images

    def host(self) -> Tensor:
        """Return the images in this machine's memory; only the thread that asks waits, no stream that computes does."""
        with self._lock:
            if self._copy is None:
                with torch.inference_mode(), torch.cuda.stream(_copy_stream(self._images.device)):
                    self._copy, self._done = _begun(self.for_current_stream())
        if self._done is not None:
            self._done.synchronize()
        return self._copy


@lru_cache(maxsize=8)
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of a device on which images come back."""
    return torch.cuda.Stream(device)


def device_images(images: Tensor) -> list[DeviceImage]:
    """Return the images of a batch that the current stream computes.

    Args:
        images: Shape (B, ...), float32.
    """
    batch = _Batch(images)
    return [DeviceImage(batch, number) for number in range(len(images))]


def _begun(values: Tensor) -> tuple[Tensor, torch.cuda.Event]:
    """Begin a copy of values to this machine's memory; the event tells when they are there."""
    memory, done = torch.empty(values.shape, dtype=values.dtype, pin_memory=True), torch.cuda.Event()
    memory.copy_(values, non_blocking=True)
    done.record()
    return memory, done


class DeviceCopies:
    """Copies between frames and a device.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams = threading.local()

    @contextmanager
    def working(self) -> Generator[None]:
        """Compute without gradients, on this thread's own stream."""
        with torch.inference_mode():
            if self.device.type != "cuda":
                yield
                return
            if not hasattr(self._streams, "own"):
                self._streams.own = torch.cuda.Stream(self.device)
            with torch.cuda.stream(self._streams.own):
                yield

    def rectangles(
        self, frames: Sequence[VideoFrame], plane: int, rectangles: Sequence[Rectangle]
    ) -> sampling.Rectangles:
        """Return rectangles of frames' planes on the device; they are uploaded only where the planes are not there."""
        found = resident_rectangles(frames, plane, rectangles, self.device)
        return found or self.uploaded([plane_array(frame, plane) for frame in frames], rectangles)

    def uploaded(self, planes: Sequence[PixelArray], rectangles: Sequence[Rectangle]) -> sampling.Rectangles:
        """Return rectangles of planes on the device: one copy for all."""
        sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in rectangles]
        counts = [height * width for height, width in sizes]
        signed = torch.uint8 if planes[0].itemsize == 1 else torch.int16
        memory = torch.empty(sum(counts), dtype=signed, pin_memory=self.device.type == "cuda")
        flat, begins = memory.numpy().view(planes[0].dtype), np.cumsum([0, *counts])
        for plane, (rows, columns), begin, size in zip(planes, rectangles, begins, sizes, strict=False):
            flat[begin : begin + size[0] * size[1]].reshape(size)[:] = plane[rows, columns]
        return sampling.Rectangles(
            memory.to(self.device, non_blocking=True),
            *(
                sampling.column(values, self.device)
                for values in (
                    begins[:-1].tolist(),
                    [width for _, width in sizes],
                    [columns.start for _, columns in rectangles],
                    [rows.start for rows, _ in rectangles],
                    [width for _, width in sizes],
                    [height for height, _ in sizes],
                )
            ),
        )

    def images(self, images: Sequence[F32Array]) -> sampling.Rectangles:
        """Return square images or masks of different sides on the device."""
        sides = [len(image) for image in images]
        padded = np.zeros((len(images), max(sides), max(sides)), np.float32)
        for place, image in enumerate(images):
            padded[place, : len(image), : len(image)] = image
        return sampling.of_images(self.sent(padded), sides)

    def gathered(self, images: Sequence[FaceImage]) -> list[Tensor]:
        """Return images on the device, those of one size that are not there yet by one copy."""
        found = {n: image.on_device() for n, image in enumerate(images) if isinstance(image, DeviceImage)}
        others: defaultdict[int, dict[int, F32Array]] = defaultdict(dict)
        for number, image in enumerate(images):
            if number not in found:
                others[len(image.host())][number] = image.host()
        for same in others.values():
            found |= zip(same, self.sent(np.stack(list(same.values()))).unbind(0), strict=True)
        return [found[number] for number in range(len(images))]

    def sent(self, array: PixelArray) -> Tensor:
        """Return an array on the device."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True)

    def downloaded(self, values: Tensor) -> PixelArray:
        """Return values in this machine's memory; only this thread waits for them."""
        if not values.is_cuda:
            return values.numpy()
        memory, done = _begun(values)
        done.synchronize()
        return memory.numpy()


def packed(values: Tensor, source: sampling.Rectangles, count: int) -> Tensor:
    """Return whole numbers of rectangles of different sizes one after the other, as their samples are stored.

    Args:
        values: Shape (B, H, W).
        source: The rectangles.
        count: Their samples.
    """
    sizes = source.width * source.height
    offset = torch.cumsum(sizes, dim=0) - sizes
    x = torch.arange(values.shape[2], device=values.device)
    y = torch.arange(values.shape[1], device=values.device)[:, None]
    is_in = (x < source.width) & (y < source.height)
    at = torch.where(is_in, offset + y * source.width + x, count)  # what is in none goes behind the last
    flat = torch.empty(count + 1, dtype=source.flat.dtype, device=values.device)
    flat[at.flatten()] = values.to(torch.int32).to(source.flat.dtype).flatten()
    return flat[:count]
