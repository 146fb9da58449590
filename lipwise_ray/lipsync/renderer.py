"""From decoded frames to dubbed frames: crops, network, composite. A stream in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.pipeline import Background, Stage, timed
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.media.region import Canvas, Kernel, box_to_shown, read_region, write_region
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.lipsync.model import LipSync

_PENDING_BATCHES = 2
_WAITING_BYTES = 512 << 20
_QUEUE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class FrameJob:
    """One output frame before dubbing.

    Attributes:
        frame: A writable frame of the canvas.
        boxes: left, top, right, bottom of each face to dub, shape (K, 4); K may be 0.
        mel: The frame's sound, shape (80, 16).
    """

    frame: VideoFrame
    boxes: F32Array
    mel: F32Array


@dataclass(slots=True)
class StageTimes:
    """Busy seconds a stage."""

    decode: Stage = field(default_factory=Stage)
    crop: Stage = field(default_factory=Stage)
    network: Stage = field(default_factory=Stage)
    composite: Stage = field(default_factory=Stage)
    encode: Stage = field(default_factory=Stage)


@dataclass(slots=True)
class _Face:
    to_shown: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    crop: F32Array
    mel: F32Array
    result: F32Array | None = None


@dataclass(frozen=True, slots=True)
class _Cropped:
    frame: VideoFrame
    faces: list[_Face]


class Renderer:
    """Dubs a stream of frames.

    Args:
        lipsync: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        mask: Opacity of the pasted crop, None to overwrite the box.
        levels: Feed the network pictures of 256 levels, as the original does.
        kernel: How faces are resampled on their way to the network and back.
    """

    def __init__(
        self,
        lipsync: LipSync,
        canvas: Canvas,
        mask: F32Array | None,
        *,
        levels: bool = False,
        kernel: Kernel = "cubic",
    ) -> None:
        self._lipsync = lipsync
        self._canvas = canvas
        self._mask = mask
        self._levels = levels
        self._kernel: Kernel = kernel
        self.times = StageTimes()

    def render(self, jobs: Iterator[FrameJob]) -> Iterator[VideoFrame]:
        """Yield the dubbed frames in order.

        Decoding and cropping, the network, and the caller's encoding run side by side; at most a
        few batches of frames are in memory.
        """
        depth = min(self._lipsync.batch_faces, max(2, self._frames_in(_QUEUE_BYTES)))
        with (
            Background(lambda: self._cropped(timed(jobs, self.times.decode)), depth) as cropped,
            Background(lambda: self._dubbed(iter(cropped)), depth) as dubbed,
        ):
            yield from dubbed

    def _frames_in(self, bytes_total: int) -> int:
        size, shape = self._canvas.size, self._canvas.format
        frame_bytes = size.width * size.height * (1 + 2 / (1 << (shape.shift_x + shape.shift_y)))
        return int(bytes_total / (frame_bytes * (1 + (shape.bits > 8))))  # noqa: PLR2004  # bits a byte

    def _cropped(self, jobs: Iterator[FrameJob]) -> Iterator[_Cropped]:
        for job in jobs:
            begin = time.perf_counter()
            faces: list[_Face] = []
            for box in job.boxes:
                to_shown = box_to_shown(box, self._lipsync.size_px)
                crop = read_region(
                    job.frame,
                    self._canvas,
                    to_shown,
                    self._lipsync.size_px,
                    levels=self._levels,
                    kernel=self._kernel,
                )
                faces.append(_Face(to_shown, crop, job.mel))
            self.times.crop.busy_s += time.perf_counter() - begin
            yield _Cropped(job.frame, faces)

    def _dubbed(self, cropped: Iterator[_Cropped]) -> Iterator[VideoFrame]:
        waiting: deque[_Cropped] = deque()
        todo: deque[_Face] = deque()
        size = self._lipsync.batch_faces
        # Frames without a face wait with the others; how many is a matter of their size too.
        most_waiting = max(size, min(_PENDING_BATCHES * size, self._frames_in(_WAITING_BYTES)))
        for item in cropped:
            waiting.append(item)
            todo.extend(item.faces)
            if len(todo) >= self._lipsync.batch_faces or len(waiting) >= most_waiting:
                self._run_batches(todo, leave=self._lipsync.batch_faces - 1 if len(waiting) < most_waiting else 0)
            yield from self._finished(waiting)
        self._run_batches(todo, leave=0)
        yield from self._finished(waiting)

    def _run_batches(self, todo: deque[_Face], leave: int) -> None:
        size = self._lipsync.batch_faces
        while len(todo) > leave:
            begin = time.perf_counter()
            batch = [todo.popleft() for _ in range(min(size, len(todo)))]
            side = self._lipsync.size_px
            crops = np.zeros((size, side, side, 3), np.float32)
            mels = np.zeros((size, batch[0].mel.shape[0], WINDOW_COLUMNS), np.float32)
            for place, face in enumerate(batch):
                crops[place], mels[place] = face.crop, face.mel
            for face, result in zip(batch, self._lipsync(crops, mels), strict=False):
                face.result = result
            self.times.network.busy_s += time.perf_counter() - begin

    def _finished(self, waiting: deque[_Cropped]) -> Iterator[VideoFrame]:
        while waiting and all(face.result is not None for face in waiting[0].faces):
            item = waiting.popleft()
            begin = time.perf_counter()
            for face in item.faces:
                assert face.result is not None  # just checked
                write_region(item.frame, self._canvas, face.to_shown, face.result, self._mask, kernel=self._kernel)
            self.times.composite.busy_s += time.perf_counter() - begin
            yield item.frame
