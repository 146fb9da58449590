"""Checking what was made: segments by decoding all of them, the joined file by its packets.

A segment is decoded where it was rendered, before anybody sees it. Joining copies packets, so the finished file is
right when it holds the very packets that were decoded, at the planned times, and a decoder can begin at each segment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
from av.stream import Disposition

from lipwise_ray.errors import InputError, LipwiseError, MediaError, SegmentError
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.container import open_input
from lipwise_ray.media.join import SegmentFile
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.media.side_packets import Muxed, SidePackets
from lipwise_ray.media.side_streams import SidePart
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.media.usual_streams import audio_stream, video_stream
from lipwise_ray.media.video_tags import VideoTags
from lipwise_ray.settings.execution import WIDEST_LIMITS
from lipwise_ray.storage.stream_choice import StreamChoice

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MATROSKA_TICK_S = 0.001
_ALIKE = {"mp2": "mp3"}  # MP4 calls them by one name
_CHAPTER_SLACK_S = 0.0015  # a tick, and its rounding
_PADDED_SAMPLES = 1152  # of MP3, the longest packet of the usual codecs


@dataclass(frozen=True, slots=True)
class Verification:
    """Findings in a finished file. ``audio_s`` is None for a file without audio."""

    frames: int
    video_s: float
    audio_s: float | None


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that a segment decodes to its frames.

    Attributes:
        crc: Of its packets, by which the finished file is compared.
        header: Checksum of the decoder's parameters. A file has one set of them, so segments that are joined have to
            agree.
        made_by: Version of the encoding library.
    """

    crc: int
    header: int
    made_by: str


def check_segment(
    path: Path, frames: int, *, threads: int = 0, on_frame: Callable[[VideoFrame], None] = lambda _: None
) -> Proof:
    """Decode a segment to its end.

    Args:
        path: The segment.
        frames: Number of frames that it must hold.
        threads: Decoder threads, 0 for FFmpeg's choice.
        on_frame: Called with each frame, in the order in which they are shown.

    Raises:
        SegmentError: A frame is missing or damaged.
    """
    decoded = crc = header = 0
    try:
        with open_input(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
            stream.codec_context.thread_count = threads
            header = zlib.crc32(stream.codec_context.extradata or b"")
            for packet in container.demux(stream):
                crc = zlib.crc32(bytes(packet), crc)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise _wrong(path, f"frame {decoded} is damaged")
                    decoded += 1
                    on_frame(frame)
    except (av.error.FFmpegError, MediaError) as error:
        raise _wrong(path, f"does not decode to its end: {_why(error)}") from error
    if decoded != frames:
        raise _wrong(path, f"holds {decoded} frames instead of {frames}")
    return Proof(crc, header, av.__version__)


def verify(
    path: Path,
    segments: Sequence[SegmentFile],
    timeline: Timeline,
    audio_s: Fraction | None,
    side: SidePackets | None = None,
    tags: VideoTags | None = None,
    soundtracks: int = 1,
) -> Verification:
    """Compare a finished file with its segments and the plan. Its audio is decoded to its end.

    Args:
        path: The finished file.
        segments: Segments that it was joined from.
        timeline: Times at which the frames must be shown.
        audio_s: Length the audio must have, None for a file without audio.
        side: Side streams that were written too.
        tags: Tags that the file must state of its video besides size and format.
        soundtracks: Audio streams that it must have, where it has audio; all of one length.

    Raises:
        SegmentError: A packet is missing, changed, or late, the audio has another length, or frames are said to be
            another; ``side_streams`` where only streams that were copied are not as they were written.
    """
    try:
        contents = _read(path, segments, {} if side is None else side.muxed, with_sound=audio_s is not None)
    except (av.error.FFmpegError, MediaError) as error:
        raise _wrong(path, f"does not decode to its end: {_why(error)}") from error
    expected = (timeline.pts - timeline.pts[0]) * float(timeline.time_base)
    if len(contents.times) != len(expected):
        raise _wrong(path, f"holds {len(contents.times)} frames instead of {len(expected)}")
    off_s = float(np.abs(np.sort(contents.times) - expected).max())
    if off_s > _MATROSKA_TICK_S:
        raise _wrong(path, f"shows a frame {off_s:.4f} s off its planned time")
    changed = [n for n, (segment, crc) in enumerate(zip(segments, contents.crcs, strict=True)) if segment.crc != crc]
    if changed:
        raise _wrong(path, f"holds other packets than segment {changed[0]}")
    if tags is not None and (other := tags.differences(probe_video(path, WIDEST_LIMITS))):
        raise _wrong(path, f"says other things of its frames than planned: {'; '.join(other)}")
    heard_s = None if audio_s is None else check_sound(path, audio_s)
    for further in range(1, soundtracks):
        check_sound(path, audio_s or timeline.duration_s, StreamChoice("audio", further))
    if side is not None:
        _check_side(path, side, contents)
    return Verification(len(contents.times), float(timeline.duration_s), heard_s)


def _check_side(path: Path, side: SidePackets, seen: _FileContents) -> None:
    """Compare what goes along with what was written of it, and note what of it is not as it was."""
    wrong: dict[SidePart, str] = {}
    for (number, wrote), chosen in zip(side.muxed.items(), side.chosen.streams, strict=True):
        muxed = seen.side.get(number, Muxed(wrote.kind, ""))
        is_cut_anew = wrote.codec.startswith("pcm_")  # demuxers make packets of samples as they like
        last = (muxed.end_s, wrote.end_s) if is_cut_anew else (muxed.last_s, wrote.last_s)
        if _ALIKE.get(muxed.codec, muxed.codec) != _ALIKE.get(wrote.codec, wrote.codec):
            wrong[chosen.number] = f"{muxed.codec or 'nothing'} in stream {number}, not {wrote.codec}"
        elif muxed.count != wrote.count and not is_cut_anew:
            wrong[chosen.number] = f"{muxed.count} packets in stream {number}, not {wrote.count}"
        elif max(abs(muxed.first_s - wrote.first_s), abs(last[0] - last[1])) > _MATROSKA_TICK_S:
            wrong[chosen.number] = f"stream {number} from {muxed.first_s:.3f} to {last[0]:.3f} s"
    wanted = [(float(chapter.start_s), float(chapter.stop_s)) for chapter in side.chosen.chapters]
    if len(wanted) != len(seen.chapters) or (
        wanted and np.abs(np.subtract(wanted, seen.chapters)).max() > _CHAPTER_SLACK_S
    ):
        wrong["chapters"] = f"{len(seen.chapters)} chapters, not {len(wanted)}, or at other times"
    if seen.attached != len(side.chosen.attached):
        wrong["attachments"] = f"{seen.attached} attached files, not {len(side.chosen.attached)}"
    timecode = side.chosen.video_tags.get("timecode")
    if seen.timecode != timecode:
        wrong["timecode"] = f"time code {seen.timecode}, not {timecode}"
    if wrong:
        side.broken.update(wrong)
        raise SegmentError(
            "side_streams",
            str(path),
            got=f"streams that were copied are not as they were written: {'; '.join(wrong.values())}",
            do="See encode.keep",
        )


def check_sound(path: Path, audio_s: Fraction, choice: StreamChoice | None = None) -> float:
    """Decode the audio at the times that are stated for it; return its length in seconds.

    Args:
        path: The finished file.
        audio_s: Length that its audio must have.
        choice: The stream; None for the one a player would play.
    """
    try:
        info = probe_audio(path, WIDEST_LIMITS, choice)
        reader = AudioReader(info)
        for _ in reader.blocks(info.rate_hz, info.layout):
            pass
    except (av.error.FFmpegError, InputError) as error:
        raise _wrong(path, f"does not decode to its end: {_why(error)}") from error
    findings = reader.findings
    if findings.holes:
        raise _wrong(path, f"its audio has {findings.holes} holes, {float(findings.hole_s):.3f} s together")
    slack_s = _PADDED_SAMPLES / info.rate_hz + _MATROSKA_TICK_S  # the last packet may be padded
    if abs(float(findings.length_s - audio_s)) > slack_s or float(info.lead_s) > slack_s:
        raise _wrong(path, f"holds {float(findings.length_s):.3f} s of audio instead of {float(audio_s):.3f} s")
    return float(findings.length_s)


@dataclass(slots=True)
class _FileContents:
    """Contents of a finished file: frames' times and segments' checksums in coding order."""

    times: list[float] = field(default_factory=list[float])
    crcs: list[int] = field(default_factory=list[int])
    side: dict[int, Muxed] = field(default_factory=dict[int, Muxed])
    chapters: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    attached: int = 0
    timecode: str | None = None


def _read(path: Path, segments: Sequence[SegmentFile], side: Mapping[int, Muxed], *, with_sound: bool) -> _FileContents:
    contents = _FileContents()
    first = {0, *np.cumsum([segment.frames for segment in segments])[:-1].tolist()}
    with open_input(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None or (audio is not None) != with_sound:
            raise _wrong(path, "holds other streams than planned")
        tick_s = float(cast("Fraction", video.time_base))
        beside = [container.streams[number] for number in side if number < len(container.streams)]
        _describe(container, video, beside, side, contents)
        for packet in container.demux([video, *beside]):
            if packet.stream_index in contents.side:
                if packet.size:
                    contents.side[packet.stream_index].take(packet)
            elif packet.size:
                if len(contents.times) in first:
                    contents.crcs.append(0)
                    _begin(video.codec_context, packet, path)
                contents.crcs[-1] = zlib.crc32(bytes(packet), contents.crcs[-1])
                contents.times.append((packet.pts or 0) * tick_s)
    contents.crcs += [0] * (len(segments) - len(contents.crcs))
    return contents


def _describe(
    container: InputContainer, video: VideoStream, beside: list[Stream], side: Mapping[int, Muxed], seen: _FileContents
) -> None:
    """Note what a file says of itself beside its packets."""
    for stream in beside:
        codec = cast("Any", stream.codec_context)
        seen.side[stream.index] = Muxed(side[stream.index].kind, "" if codec is None else codec.codec.canonical_name)
    for chapter in container.chapters():
        base = cast("Fraction", chapter["time_base"])
        seen.chapters.append((float(chapter["start"] * base), float(chapter["end"] * base)))
    covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    seen.attached = len(covers) + sum(stream.type == "attachment" for stream in container.streams)
    tags = {**container.metadata, **video.metadata}
    seen.timecode = next((value for name, value in tags.items() if name.lower() == "timecode"), None)


def _begin(decoder: VideoCodecContext, packet: Packet[Any], path: Path) -> None:
    """See that decoding can begin with a packet."""
    frames = [*decoder.decode(packet), *decoder.decode(None)]
    decoder.flush_buffers()
    if len(frames) != 1 or frames[0].is_corrupt:
        raise _wrong(path, "a segment does not begin with a whole frame")


def _why(error: Exception) -> str:
    """Return the cause of an error, without the place and the advice that this program's own errors have."""
    return error.happened if isinstance(error, LipwiseError) else str(error)


def _wrong(path: Path, happened: str) -> SegmentError:
    return SegmentError("verify", str(path), got=happened, do="Run the same command again")
