"""Checking a segment while it is written: it is decoded as it grows, and the whole file is compared at its end."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import av.error

from lipwise_ray.errors import MediaError, SegmentError
from lipwise_ray.media.container import open_input
from lipwise_ray.media.verify import Proof, check_segment
from lipwise_ray.threads import join_surely

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class _Packets:
    """Packets of a segment: their number, a checksum of them, and one of the decoder's parameters."""

    count: int
    crc: int
    header: int


class FollowedSegment:
    """Decodes a segment in a thread while its frames are rendered and encoded, so that little is left when it ends.

    What was decoded counts for a file that holds these very packets in the end: the muxer writes some bytes anew then.
    Where it does not, or where following failed, the whole file is decoded, and errors are of that alone.

    Args:
        path: The segment: a Matroska file that a muxer has begun.
        threads: Decoder threads, 0 for FFmpeg's choice.
        on_frame: Called with each frame, in the thread that follows; with all of them again where the whole file has to
            be decoded.

    Leaving the ``with`` block stops the thread.
    """

    def __init__(
        self, path: Path, *, threads: int = 0, on_frame: Callable[[VideoFrame], None] = lambda _: None
    ) -> None:
        self._path = path
        self._threads = threads
        self._on_frame = on_frame
        self._is_whole, self._is_unwanted = threading.Event(), threading.Event()
        self._seen: _Packets | None = None
        self.decoded = 0
        """Frames decoded so far, none of them damaged; another thread may ask."""
        self._thread = threading.Thread(target=self._follow, name="lipwise-check", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_unwanted.set()
        self._is_whole.set()
        join_surely(self._thread)

    def prove(self, frames: int) -> Proof:
        """Decode the rest of the segment, which is written to its end, and return the proof that `check_segment` gives.

        Args:
            frames: Number of frames that it must hold.

        Raises:
            SegmentError: A frame is missing or damaged, or the packets are others than they were while it was written.
        """
        self._is_whole.set()
        self._thread.join()
        seen = self._seen if self.decoded == frames else None
        if seen is not None and seen == _packets_of(self._path):
            return Proof(seen.crc, seen.header, av.__version__)
        proof = check_segment(self._path, frames, threads=self._threads, on_frame=self._on_frame)
        if seen is not None and proof.crc != seen.crc:  # most decoders show some image whatever the bytes are
            raise SegmentError(
                "verify",
                str(self._path),
                got="holds other packets than while it was written",
                do="Run the same command again",
            )
        return proof

    def _follow(self) -> None:
        try:
            with _Growing(self._path, self._is_whole, self._is_unwanted) as growing:
                self._seen = self._decode(growing)
        except (av.error.FFmpegError, OSError, ValueError, IndexError, MemoryError):
            self._seen = None  # the whole file shows what is wrong, if anything is

    def _decode(self, growing: _Growing) -> _Packets | None:
        crc = count = 0
        with av.open(growing, "r", format="matroska") as container:
            stream: Any = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = self._threads
            header = zlib.crc32(stream.codec_context.extradata or b"")
            for packet in container.demux(stream):
                crc, count = zlib.crc32(bytes(packet), crc), count + (packet.size > 0)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        return None
                    self.decoded += 1
                    self._on_frame(frame)
        return None if self._is_unwanted.is_set() else _Packets(count, crc, header)


class _Growing:
    """A file that is being written, for reading: its end is where its writer says that it is whole.

    It has no ``seek``, so that demuxers read what is there and ask for nothing behind it.

    Args:
        path: The file.
        is_whole: Set once nothing more is written.
        is_unwanted: Set once nobody reads it any more: it ends at once.
    """

    def __init__(self, path: Path, is_whole: threading.Event, is_unwanted: threading.Event) -> None:
        self._file = path.open("rb", buffering=0)
        self._is_whole = is_whole
        self._is_unwanted = is_unwanted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes, once there are some; nothing at the end."""
        while not self._is_unwanted.is_set():
            is_whole = self._is_whole.is_set()  # asked first: what comes in between is read the next time
            if (data := self._file.read(size_bytes)) or is_whole:
                return data
            self._is_whole.wait(_LOOK_S)
        return b""


def _packets_of(path: Path) -> _Packets | None:
    """Return the packets of a whole file, none of them decoded; None where it cannot be read."""
    crc = count = 0
    try:
        with open_input(path) as container:
            stream = container.streams.video[0]
            header = zlib.crc32(stream.codec_context.extradata or b"")
            for packet in container.demux(stream):
                crc, count = zlib.crc32(bytes(packet), crc), count + (packet.size > 0)
    except (av.error.FFmpegError, MediaError, IndexError):
        return None
    return _Packets(count, crc, header)
