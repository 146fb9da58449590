"""Random access to the frames of a video by number, in bounded memory."""

from __future__ import annotations

import bisect
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av.error
import numpy as np

from lipwise_ray.errors import MediaError, ran_out_of_memory
from lipwise_ray.media.container import damaged, decode_problem, open_input
from lipwise_ray.media.cursor import FileCursor, SequenceCursor
from lipwise_ray.media.fields import deinterlaced
from lipwise_ray.media.hardware import HardwareDecoder
from lipwise_ray.media.image_sequence import open_image_sequence
from lipwise_ray.media.index import FrameIndex

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LOG = logging.getLogger("lipwise_ray")
_REVERSE_BUDGET_BYTES = 48 << 20
_SEEKS_BEFORE_RESTART = 4


class VideoReader:
    """Decodes frames by number. Frames belong to the decoder: copy one before writing to it.

    Args:
        path: The video.
        stream_index: Its video stream.
        index: The video's frame index.
        threads: Decoder threads; 0 lets FFmpeg choose.
        salvage: Skip damaged frames instead of failing; the index was built the same way.
        deinterlace: Make whole frames of fields.
        hardware: Decodes the frames until something goes wrong with it; from there on software does. None for software.
    """

    def __init__(
        self,
        path: Path,
        stream_index: int,
        index: FrameIndex,
        *,
        threads: int = 0,
        salvage: bool = False,
        deinterlace: bool = False,
        hardware: HardwareDecoder | None = None,
    ) -> None:
        self._path = path
        self._hardware = hardware
        self._stream_index = stream_index
        self._index = index
        self._threads = threads
        self._salvage = salvage
        self._deinterlace = deinterlace
        self._keys: list[int] = [int(n) for n in np.flatnonzero(index.is_key)]
        self._cursor: FileCursor | SequenceCursor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def changed_aspect(self) -> bool:
        """True where the shape of a pixel has changed since the file's first frame."""
        return self._cursor is not None and self._cursor.changed_aspect

    @property
    def is_hardware(self) -> bool:
        """True where hardware decodes the frames, as far as it is known by now."""
        return self._hardware is not None

    def close(self) -> None:
        """Close the file."""
        if self._cursor is not None:
            self._cursor.release()
            self._cursor = None

    def read(self, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield frames ``[start, stop)``.

        Raises:
            MediaError: A frame is damaged, or decoding gives other frames than the index has.
        """
        if not self._deinterlace:
            yield from self._read(start, stop)
            return
        # What lies around a frame decides how it looks, so that it does not depend on where reading begins.
        first, last = max(0, start - 1), min(len(self._index), stop + 1)
        frames = deinterlaced(enumerate(self._read(first, last), first), to_end=last == len(self._index))
        yield from (frame for number, frame in frames if start <= number < stop)

    def _read(self, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield frames ``[start, stop)`` as they are decoded; where hardware fails, by software from there on."""
        wanted = start
        refusal: Callable[[], None] | None = None
        while wanted < stop:
            try:
                for frame in self._straight(wanted, stop):
                    if refusal is not None:  # the video is sound: it was for the hardware
                        refusal()
                        refusal = None
                    wanted += 1
                    yield frame
            except (MediaError, av.error.FFmpegError, RuntimeError, ValueError) as error:  # torch's are the latter two
                if self._hardware is None:
                    raise
                _LOG.warning("%s: decoded in software from frame %d on: %s", self._path.name, wanted, error)
                has_decoded = self._cursor is not None and self._cursor.has_decoded
                if not has_decoded and not ran_out_of_memory(error):
                    refusal = partial(self._hardware.refused, str(error))
                self._hardware = None
                self.close()

    def _straight(self, start: int, stop: int) -> Iterator[VideoFrame]:
        wanted = start
        for number, frame in self._numbered(start) if start < stop else ():
            if number > wanted:
                break
            if number == wanted:
                if frame.is_corrupt and not self._salvage:
                    raise damaged(self._path, f"frame {number} is damaged")
                yield frame
                wanted += 1
                if wanted == stop:
                    return
        if wanted < stop:
            raise MediaError(
                "frame_missing",
                str(self._path),
                got=f"frame {wanted} of {len(self._index)} does not decode",
                do='Export it again, or set on_error = "salvage" to dub what decodes',
            )

    def read_order(self, numbers: Iterable[int]) -> Iterator[VideoFrame]:
        """Yield the frames of these numbers, in this order; repeats and backward runs are fine.

        A backward run is decoded forward in blocks, so memory stays bounded.
        """
        last: tuple[int, VideoFrame] | None = None
        for first, stop, step in _runs(numbers):
            if step == 0:
                if last is None or last[0] != first:
                    last = (first, next(self.read(first, first + 1)))
                for _ in range(stop):
                    yield last[1]
            elif step > 0:
                for number, frame in zip(range(first, stop), self.read(first, stop), strict=True):
                    last = (number, frame)
                    yield frame
            else:
                for number, frame in self._backward(first, stop):
                    last = (number, frame)
                    yield frame

    def _backward(self, first: int, stop: int) -> Iterator[tuple[int, VideoFrame]]:
        high = first
        block = 8
        while high > stop:
            low = max(stop + 1, high - block + 1)
            frames = list(self.read(low, high + 1))
            block = _block_length(frames[0])
            while frames:
                yield low + len(frames) - 1, frames.pop()
            high = low - 1

    def _numbered(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield ``(number, frame)`` from some frame at or before `start` on."""
        key = bisect.bisect_right(self._keys, start) - 1
        cursor = self._cursor
        if cursor is not None and cursor.next_number is not None and self._keys[key] <= cursor.next_number <= start:
            yield from cursor
            return
        for attempt in range(_SEEKS_BEFORE_RESTART):
            # A demuxer may land after the key frame that was asked for: ask for ever earlier ones.
            target = self._keys[max(0, key - (1 << attempt) + 1)]
            if target == 0:
                break
            if cursor is None:
                cursor = self._open()
            cursor.seek(target)
            first = next(cursor, None)
            if first is not None and first[0] <= start and not first[1].is_corrupt:
                yield first
                yield from cursor
                return
        yield from self._open()

    def _open(self) -> FileCursor | SequenceCursor:
        self.close()
        sequence = open_image_sequence(self._path)
        if sequence is not None:
            self._cursor = SequenceCursor(sequence, self._index)
            return self._cursor
        self._cursor = FileCursor(
            self._path, self._stream_index, self._index, self._threads, salvage=self._salvage, hardware=self._hardware
        )
        return self._cursor


def read_through(path: Path, *, threads: int = 0) -> Generator[VideoFrame]:
    """Yield all frames of a file with one video stream, such as a segment, in the order in which they are shown.

    Args:
        path: The file.
        threads: Of the decoder; 0 for FFmpeg's choice.

    Raises:
        MediaError: A frame is damaged.
    """
    with open_input(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        stream.codec_context.thread_count = threads
        try:
            yield from container.decode(stream)
        except av.error.FFmpegError as error:
            raise decode_problem(path, error, "while reading frames") from error


def _block_length(frame: VideoFrame) -> int:
    frame_bytes = sum(plane.buffer_size for plane in frame.planes)
    return min(128, max(4, _REVERSE_BUDGET_BYTES // max(1, frame_bytes)))


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Split a sequence into runs: (first, stop, +1), (first, stop, -1) or (number, count, 0)."""
    first: int | None = None
    previous = step = count = 0
    for number in numbers:
        delta = 0 if first is None else number - previous
        if first is None:
            first, previous, count = number, number, 1
            continue
        if delta in (-1, 0, 1) and (count == 1 or delta == step):
            step = delta
            previous = number
            count += 1
            continue
        yield _run(first, previous, step, count)
        first, previous, count = number, number, 1
    if first is not None:
        yield _run(first, previous, step, count)


def _run(first: int, last: int, step: int, count: int) -> tuple[int, int, int]:
    if count == 1 or step > 0:
        return first, last + 1, 1
    if step < 0:
        return first, last - 1, -1
    return first, count, 0
