"""Video and audio that came in files of their own, in one file: packets only."""

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

_STREAMED = "mpegts"
_CONTAINER = "matroska"  # it takes what any site sends


def remux(video: Path, audio: Path, target: Path, later_s: Fraction = Fraction(0)) -> None:
    """Write a file with the video of one and the audio of another, nothing encoded anew.

    It is Matroska; or MPEG-TS where one of them is, whose AAC lacks the header that Matroska needs.

    Args:
        video: File whose first video stream is taken.
        audio: File whose first audio stream is taken.
        target: The file that is written.
        later_s: Added to all times.

    Raises:
        MediaError: A file has no such stream, or cannot be read.
        OutputError: The target cannot be written.
        StorageError: The disk is full, or refuses.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(open_input(path)) for path in (video, audio)]
        streams = [_first(video, sources[0].streams.video), _first(audio, sources[1].streams.audio)]
        container = _STREAMED if any(source.format.name == _STREAMED for source in sources) else _CONTAINER
        try:
            # Times are moved in the target's ticks, so that they are rounded as they would be without.
            options = {"output_ts_offset": f"{round(later_s * av.time_base)}us"} if later_s else {}
            with av.open(str(target), "w", format=container, options=options) as output:
                added = [output.add_stream_from_template(stream, opaque=True) for stream in streams]
                has_one_clock = sources[0].format.name == sources[1].format.name
                packets = [
                    _packets(path, source, stream, out, 0 if has_one_clock else source.start_time or 0)
                    for path, source, stream, out in zip((video, audio), sources, streams, added, strict=True)
                ]
                for _, out, packet in heapq.merge(*packets, key=lambda one: (one[0], one[1].index)):
                    packet.stream = out
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


def _packets(
    path: Path, source: InputContainer, stream: Stream, out: Stream, start: int
) -> Iterator[tuple[Fraction, Stream, Packet[Any]]]:
    """Yield a stream's packets with the times at which they are decoded, and the stream that they go to.

    Containers of two kinds have clocks of their own, as an MPEG-TS beside bare AAC: both then start at 0.
    """
    last, shift = None, round(Fraction(start, av.time_base) / stream.time_base) if stream.time_base else 0
    with reading(path):
        for packet in source.demux(stream):
            if not packet.size or packet.dts is None:
                continue
            packet.dts -= shift
            packet.pts = None if packet.pts is None else packet.pts - shift
            if last is not None and packet.dts <= last:  # as where segments of a stream meet
                packet.dts = last + 1
                packet.pts = max(packet.pts or packet.dts, packet.dts)
            last = packet.dts
            yield packet.dts * packet.time_base, out, packet
