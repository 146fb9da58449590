"""Adding side streams to a file in the making: their packets on the output's clock, roughly in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.stream import Disposition

from lipwise_ray.errors import SegmentError
from lipwise_ray.media.container import open_input
from lipwise_ray.media.edits import Edit, in_output
from lipwise_ray.media.side_streams import Attached, LeftBehind, SidePart, SideStream, SideStreams

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.subtitles.codeccontext import SubtitleCodecContext

_TICK_S = Fraction(1, 1000)
_TIMED = ("mp4", "mov")  # an edit list hides what a packet holds before the output begins
_ONE_AT_A_TIME = "mov_text"
_EMPTY_TEXT_BYTES = 2  # of mov_text: ends the text before
_LENGTH_BYTES = 2  # of a mov_text, before it; its style comes after


@dataclass(slots=True)
class Muxed:
    """Packets that were written of a side stream: their count, the times of the first and the last, and the end.

    ``lost`` are packets that could not be read, or had no time of their own; ``cut`` are texts that end early because
    the next one begins.
    """

    kind: str
    codec: str
    count: int = 0
    lost: int = 0
    cut: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    end_s: float = 0.0

    def take(self, packet: Packet[Any]) -> None:
        """Note a packet; an empty text is none."""
        if self.codec == _ONE_AT_A_TIME and packet.size <= _EMPTY_TEXT_BYTES:
            return
        self.last_s = float((packet.pts or 0) * packet.time_base)
        self.first_s = self.last_s if not self.count else self.first_s
        self.end_s = self.last_s + float((packet.duration or 0) * packet.time_base)
        self.count += 1


@dataclass(slots=True)
class SidePackets:
    """The packets of side streams.

    Attributes:
        chosen: Side streams that go along.
        muxed: Packets that have gone along so far, by the stream's number in the output.
        broken: Parts that the finished file does not hold as they were written, and why.
    """

    chosen: SideStreams
    muxed: dict[int, Muxed] = field(default_factory=dict[int, Muxed])
    broken: dict[SidePart, str] = field(default_factory=dict[SidePart, str])

    @property
    def lost(self) -> list[LeftBehind]:
        """Side streams that turned out to be unfit while they were copied."""
        why = "packets that cannot be read, or have no time of their own"
        written = list(zip(self.chosen.streams, self.muxed.values(), strict=False))
        lost = [
            LeftBehind(stream.kind, f"{wrote.lost} of stream {stream.number}", why)
            for stream, wrote in written
            if wrote.lost
        ]
        why = f"they overlap, and {self.chosen.container} shows one at a time"
        cut = [
            LeftBehind(stream.kind, f"the end of {wrote.cut} texts of stream {stream.number}", why)
            for stream, wrote in written
            if wrote.cut
        ]
        return lost + cut

    def blame(self, number: int, why: str) -> None:
        """Note why a stream of the output cannot be written, where it is one of these."""
        places = {muxed: stream.number for muxed, stream in zip(self.muxed, self.chosen.streams, strict=False)}
        if number in places:
            self.broken[places[number]] = why

    def add_to(self, output: OutputContainer) -> Iterator[Packet[Any]]:
        """Add chapters, files and streams behind the streams that an output has, and return their packets.

        Raises:
            ValueError: The output's format does not take a stream.
        """
        chosen = self.chosen
        output.set_chapters(
            [
                {
                    "id": number,
                    "start": round(chapter.start_s / _TICK_S),
                    "end": round(chapter.stop_s / _TICK_S),
                    "time_base": _TICK_S,
                    "metadata": {"title": chapter.title} if chapter.title else {},
                }
                for number, chapter in enumerate(chosen.chapters, 1)
            ]
        )
        if not chosen.streams and not chosen.attached:
            return iter(())
        source = open_input(chosen.path)
        lanes = {stream.number: self._lane(output, source, stream) for stream in chosen.streams}
        covers = [packet for file in chosen.attached if (packet := self._attach(output, file)) is not None]
        return self._packets(source, lanes, covers)

    def _lane(self, output: OutputContainer, source: InputContainer, side: SideStream) -> _Lane:
        stream = source.streams[side.number]
        decoder: SubtitleCodecContext | None = None
        if side.is_converted:
            decoder = cast("SubtitleCodecContext", stream.codec_context)
            decoder.open(strict=False)
            added = cast("Any", output.add_stream(side.codec))
            added.codec_context.subtitle_header = decoder.subtitle_header
            added.codec_context.time_base = _TICK_S
            added.time_base = _TICK_S
        else:
            added = output.add_stream_from_template(cast("Any", stream), opaque=True)
        added.disposition = side.disposition
        added.metadata.clear()
        added.metadata.update(side.tags)
        self.muxed[added.index] = Muxed(side.kind, side.codec)
        lane = _Lane(added, self.muxed[added.index], self.chosen.edits, decoder, self.chosen.container in _TIMED)
        if stream.codec_context.codec.canonical_name == _ONE_AT_A_TIME:
            lane.source = stream
        return lane

    def _attach(self, output: OutputContainer, file: Attached) -> Packet[Any] | None:
        """Add a file; returns the packet of a cover that is a stream."""
        if not file.cover_codec or self.chosen.container not in _TIMED:
            output.add_attachment(file.name, file.mimetype, file.data)
            return None
        stream = output.add_mux_stream(file.cover_codec, width=file.size[0], height=file.size[1])
        stream.disposition = Disposition.attached_pic
        packet = av.Packet(file.data)
        packet.stream, packet.pts, packet.dts, packet.time_base = cast("Any", stream), 0, 0, _TICK_S
        return packet

    @staticmethod
    def _packets(source: InputContainer, lanes: dict[int, _Lane], covers: list[Packet[Any]]) -> Iterator[Packet[Any]]:
        with source:
            yield from covers
            if not lanes:
                return
            packets = source.demux([source.streams[number] for number in lanes])
            while (packet := _next(packets, source.name)) is not None:
                if packet.size:
                    yield from lanes[packet.stream_index].take(packet)
            for lane in lanes.values():
                yield from lane.flush()


def _next(packets: Iterator[Packet[Any]], name: str) -> Packet[Any] | None:
    """Return the next packet; that the source cannot be read is not the output's fault."""
    try:
        return next(packets, None)
    except av.error.FFmpegError as error:
        raise SegmentError("side_streams", name, got=f"cannot be read to its end: {error}") from error


def _joined(one: Packet[Any], other: Packet[Any]) -> Packet[Any]:
    """Return two texts of MP4 that begin together as one, under each other, in the style of the first."""
    raw, added = bytes(one), bytes(other)
    stop = _LENGTH_BYTES + int.from_bytes(raw[:_LENGTH_BYTES], "big")
    line = added[_LENGTH_BYTES : _LENGTH_BYTES + int.from_bytes(added[:_LENGTH_BYTES], "big")]
    text = raw[_LENGTH_BYTES:stop] + b"\n" + line
    joined = av.Packet(len(text).to_bytes(_LENGTH_BYTES, "big") + text + raw[stop:])
    joined.pts, joined.dts, joined.time_base = one.pts, one.dts, one.time_base
    joined.duration = max(one.duration or 0, other.duration or 0)
    return joined


@dataclass(slots=True)
class _Lane:
    """A side stream on its way: packets come on the source's clock and go on the output's."""

    stream: Any
    muxed: Muxed
    edits: tuple[Edit, ...]
    decoder: SubtitleCodecContext | None
    hides_starts: bool
    last: Fraction | None = None
    held: Packet[Any] | None = None
    source: Stream | None = None
    waiting: Packet[Any] | None = None

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """Yield the packets that are written for one, or for the one before it."""
        if self.source is None or packet.pts is None:
            yield from self._taken(packet)
            return
        # MP4's texts follow each other without a gap; after an edit list that leaves out the first ones FFmpeg states
        # the lengths of others.
        before, self.waiting = self.waiting, packet
        if before is not None:
            yield from self._taken(before, until=packet.pts)

    def _taken(self, packet: Packet[Any], until: int | None = None) -> Iterator[Packet[Any]]:
        """Yield the packets that are written for one, which lasts until a time where that is known."""
        if until is not None and packet.pts is not None:
            packet.duration = max(0, until - packet.pts)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            self.muxed.lost += 1
            return
        start_s = stamp * packet.time_base
        stop_s = start_s + (packet.duration or 0) * packet.time_base
        move = self._text if self.muxed.kind == "subtitles" else self._sound
        ready = move(packet, start_s, stop_s)
        if ready is None:
            return
        now = cast("int", ready.dts) * ready.time_base
        if self.held is not None and now == self.last:
            self.held = _joined(self.held, ready)
            return
        # In Matroska texts may begin together, and packets of TrueHD are shorter than a tick.
        if self.last is not None and (now < self.last or (self.hides_starts and now == self.last)):
            self.muxed.lost += 1
            return
        self.last = now
        if self.muxed.codec != _ONE_AT_A_TIME:
            yield self._written(ready)
            return
        held, self.held = self.held, ready
        if held is not None:
            begins = cast("int", ready.pts) - cast("int", held.pts)
            if (held.duration or 0) > begins:
                held.duration = begins
                self.muxed.cut += 1
            yield self._written(held)

    def flush(self) -> Iterator[Packet[Any]]:
        """Yield the packets that waited for the next one, of which there is none any more."""
        if self.waiting is not None and self.source is not None:
            length = self.source.duration
            yield from self._taken(self.waiting, None if length is None else (self.source.start_time or 0) + length)
        if self.held is not None:
            yield self._written(self.held)

    def _written(self, packet: Packet[Any]) -> Packet[Any]:
        self.muxed.take(packet)
        packet.stream = self.stream
        return packet

    def _text(self, packet: Packet[Any], start_s: Fraction, stop_s: Fraction) -> Packet[Any] | None:
        place = in_output(self.edits, start_s, stop_s)
        if place is None or (self.muxed.codec == _ONE_AT_A_TIME and packet.size <= _EMPTY_TEXT_BYTES):
            return None
        if self.decoder is not None:
            try:
                shown = self.decoder.decode2(packet)
                if shown is None:
                    return None  # it only ended the text before
                packet = self.stream.codec_context.encode_subtitle(shown)
            except av.error.FFmpegError:
                self.muxed.lost += 1
                return None
            packet.time_base = _TICK_S
        packet.pts = packet.dts = round(place[0] / packet.time_base)
        packet.duration = round(place[1] / packet.time_base) - packet.pts
        return packet

    def _sound(self, packet: Packet[Any], start_s: Fraction, stop_s: Fraction) -> Packet[Any] | None:
        (edit,) = self.edits
        # A decoder needs the packet before, too, where the container can hide what that one holds.
        is_early = 2 * stop_s - start_s <= edit.start_s if self.hides_starts else start_s < edit.start_s
        if is_early or start_s >= edit.stop_s:
            return None
        packet.pts = packet.dts = round((start_s + edit.shift_s) / packet.time_base)
        return packet
