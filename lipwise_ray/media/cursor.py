"""Cursors: an open video that yields its frames with their numbers, from where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av.error
import numpy as np

from lipwise_ray.media.container import damaged, decode_problem, open_input, reading
from lipwise_ray.media.hardware import HardwareDecoder
from lipwise_ray.media.image_sequence import ImageSequence
from lipwise_ray.media.index import FrameIndex, luma_crc
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class FileCursor:
    """An open file that yields ``(number, frame)`` from where it stands.

    Args:
        path: The file.
        stream_index: Its video stream.
        index: The stream's frames.
        threads: Decoder threads; 0 lets FFmpeg choose.
        salvage: Skip damaged frames instead of failing.
        hardware: Decodes it; None for FFmpeg in software.

    Raises:
        MediaError: The file cannot be opened, or not by this hardware.
    """

    def __init__(
        self,
        path: Path,
        stream_index: int,
        index: FrameIndex,
        threads: int,
        *,
        salvage: bool,
        hardware: HardwareDecoder | None = None,
    ) -> None:
        self._path = path
        self._index = index
        self._salvage = salvage
        self._hardware = hardware
        self.next_number: int | None = 0
        """Number of the frame that comes next; None right after a seek, before a time stamp is seen."""
        self.has_decoded = False
        """True once the decoder has given a frame."""
        self._container: InputContainer = open_input(
            path, keep_corrupt=not salvage, accelerator=hardware.opens_with() if hardware else None
        )
        self._stream: VideoStream = next(s for s in self._container.streams.video if s.index == stream_index)
        self._context = self._stream.codec_context
        if hardware:
            with reading(path):
                self._context = hardware.context(self._stream)
        self._context.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        if hardware:
            self._context.thread_count = 1  # the others would wait for the device with it
        elif threads:
            self._context.thread_count = threads
        self._aspect = self._context.sample_aspect_ratio
        self._frames = self._delivered()

    @property
    def changed_aspect(self) -> bool:
        """True where the shape of a pixel is another one now than where the file was opened."""
        return self._context.sample_aspect_ratio != self._aspect

    def release(self) -> None:
        """Close the file."""
        self._container.close()

    def seek(self, key: int) -> None:
        """Go to key frame `key`, or to wherever the demuxer believes it is."""
        self._container.seek(int(self._index.seek_ts[key]), stream=self._stream, backward=True)
        self._context.flush_buffers()  # the stream's own is, that of hardware may be another
        self._frames = self._delivered()
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

    def _delivered(self) -> Iterator[VideoFrame]:
        """Return the frames from here on, in this machine's memory."""
        if self._hardware is None:
            return self._decode()
        return self._hardware.downloads(map(self._sound, self._decode()))

    def _sound(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame that hardware is trusted with; all others are for software to judge.

        Raises:
            MediaError: It is damaged, of fields, or of another size than the index says.
        """
        if frame.is_corrupt or frame.interlaced_frame or Size(frame.width, frame.height) not in self._index.sizes:
            raise damaged(self._path, f"a frame at {frame.time} s is damaged, of fields or of another size")
        return frame

    def _decode(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        with reading(self._path):
            while True:
                try:
                    for frame in self._context.decode(next(packets)):
                        self.has_decoded = True
                        if not (self._salvage and frame.is_corrupt):
                            yield frame
                except (StopIteration, av.error.EOFError):
                    return
                except av.error.FFmpegError as error:
                    if not self._salvage:
                        raise decode_problem(self._path, error, "while reading frames") from error


class SequenceCursor:
    """The same over frames of which each can be had by itself."""

    def __init__(self, sequence: ImageSequence, index: FrameIndex) -> None:
        self._sequence = sequence
        self._index = index
        self.next_number: int | None = 0
        self.changed_aspect, self.has_decoded = False, True

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
