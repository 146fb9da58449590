"""Video and audio that came in files of their own, in one file: packets only, at their own times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from lipwise_ray.errors import MediaError
from lipwise_ray.media.container import open_input, reading, write_problem

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

_CONTAINER = "matroska"  # it takes what any site sends


def remux(video: Path, audio: Path, target: Path) -> None:
    """Write a Matroska file with the video of one file and the audio of another, nothing encoded anew.

    Args:
        video: File whose first video stream is taken.
        audio: File whose first audio stream is taken.
        target: The file that is written.

    Raises:
        MediaError: A file has no such stream, or cannot be read.
        OutputError: The target cannot be written.
        StorageError: The disk is full, or refuses.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(open_input(path)) for path in (video, audio)]
        streams = [_first(video, sources[0].streams.video), _first(audio, sources[1].streams.audio)]
        try:
            with av.open(str(target), "w", format=_CONTAINER) as output:
                added = [output.add_stream_from_template(stream, opaque=True) for stream in streams]
                packets = [
                    _packets(path, source, stream)
                    for path, source, stream in zip((video, audio), sources, streams, strict=True)
                ]
                labelled = [((time, number, packet) for time, packet in found) for number, found in enumerate(packets)]
                for _, number, packet in heapq.merge(*labelled, key=lambda one: one[:2]):
                    packet.stream = added[number]
                    output.mux_one(packet)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise write_problem(target, error) from error
            raise MediaError(
                "unreadable_media", str(video), got=f"its video and audio cannot be joined: {error}"
            ) from error


def _first(path: Path, streams: Any) -> Any:  # noqa: ANN401  # PyAV's overloads know no common type
    if not streams:
        raise MediaError("unreadable_media", str(path), got="lacks the stream for which it was fetched")
    return streams[0]


def _packets(path: Path, source: InputContainer, stream: Stream) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """Yield a stream's packets with the times at which they are decoded."""
    with reading(path):
        for packet in source.demux(stream):
            if packet.size and packet.dts is not None:
                yield packet.dts * packet.time_base, packet
