"""Random access to the frames of a video by number, in bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av.error
import numpy as np

from lipwise_ray.errors import MediaError
from lipwise_ray.media.container import damaged, decode_problem, open_input, reading
from lipwise_ray.media.fields import deinterlaced
from lipwise_ray.media.image_sequence import ImageSequence, open_image_sequence
from lipwise_ray.media.index import FrameIndex, luma_crc

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_REVERSE_BUDGET_BYTES = 48 << 20
_SEEKS_BEFORE_RESTART = 4


class _Cursor:
    """An open file that yields ``(number, frame)`` from where it stands."""

    def __init__(self, path: Path, stream_index: int, index: FrameIndex, threads: int, *, salvage: bool) -> None:
        self._path = path
        self._index = index
        self._salvage = salvage
        self.next_number: int | None = 0
        """Number of the frame that comes next; None right after a seek, before a time stamp is seen."""
        self._container: InputContainer = open_input(path, keep_corrupt=not salvage)
        self._stream: VideoStream = next(s for s in self._container.streams.video if s.index == stream_index)
        self._stream.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        if threads:
            self._stream.codec_context.thread_count = threads
        self._aspect = self._stream.codec_context.sample_aspect_ratio
        self._frames = self._decode()

    @property
    def changed_aspect(self) -> bool:
        """True where the shape of a pixel is another one now than where the file was opened."""
        return self._stream.codec_context.sample_aspect_ratio != self._aspect

    def release(self) -> None:
        """Close the file."""
        self._container.close()

    def seek(self, key: int) -> None:
        """Go to key frame `key`, or to wherever the demuxer believes it is."""
        self._container.seek(int(self._index.seek_ts[key]), stream=self._stream, backward=True)
        self._frames = self._decode()
        self.next_number = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[int, VideoFrame]:
        for frame in self._frames:
            if self.next_number is None and len(self._index.key_crc):
                frame_number = self._number_seen(frame)
            else:
                frame_number = self._number_at(frame.pts)
            if self.next_number is None or len(self._index.key_crc):
                number = frame_number if self.next_number is None else self.next_number
            elif frame_number is not None and frame_number >= self.next_number:
                number = frame_number
            else:
                number = self.next_number
            if number is not None:
                self.next_number = number + 1
                return number, frame
        raise StopIteration

    def _number_at(self, pts: int | None) -> int | None:
        if pts is None:
            return None
        number = int(np.searchsorted(self._index.pts, pts))
        return number if number < len(self._index) and self._index.pts[number] == pts else None

    def _number_seen(self, frame: VideoFrame) -> int | None:
        """Return the number of the key frame that looks like this frame."""
        if not frame.key_frame:
            return None
        numbers = np.flatnonzero(self._index.is_key & (self._index.key_crc == luma_crc(frame)))
        return int(numbers[0]) if len(numbers) else None

    def _decode(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        with reading(self._path):
            while True:
                try:
                    for frame in next(packets).decode():
                        if not (self._salvage and frame.is_corrupt):
                            yield frame
                except (StopIteration, av.error.EOFError):
                    return
                except av.error.FFmpegError as error:
                    if not self._salvage:
                        raise decode_problem(self._path, error, "while reading frames") from error


class _ImageCursor:
    """The same over frames of which each can be had by itself."""

    def __init__(self, sequence: ImageSequence, index: FrameIndex) -> None:
        self._sequence = sequence
        self._index = index
        self.next_number: int | None = 0
        self.changed_aspect = False

    def release(self) -> None:
        """Close what is open."""
        self._sequence.close()

    def seek(self, key: int) -> None:
        """Go to a frame."""
        self.next_number = key

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[int, VideoFrame]:
        number = self.next_number or 0
        if number >= len(self._index):
            raise StopIteration
        frame = self._sequence.frame(number, int(self._index.pts[number]))
        self.next_number = number + 1
        return number, frame


class VideoReader:
    """Decodes frames by number. Frames belong to the decoder: copy one before writing to it.

    Args:
        path: The video.
        stream_index: Its video stream.
        index: The video's frame index.
        threads: Decoder threads; 0 lets FFmpeg choose.
        salvage: Skip damaged frames instead of failing; the index was built the same way.
        deinterlace: Make whole frames of fields.
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
    ) -> None:
        self._path = path
        self._stream_index = stream_index
        self._index = index
        self._threads = threads
        self._salvage = salvage
        self._deinterlace = deinterlace
        self._keys: list[int] = [int(n) for n in np.flatnonzero(index.is_key)]
        self._cursor: _Cursor | _ImageCursor | None = None

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

    def _open(self) -> _Cursor | _ImageCursor:
        self.close()
        sequence = open_image_sequence(self._path)
        if sequence is not None:
            self._cursor = _ImageCursor(sequence, self._index)
            return self._cursor
        self._cursor = _Cursor(self._path, self._stream_index, self._index, self._threads, salvage=self._salvage)
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
