"""Segments and audio to one file: packets only, time stamps from the plan."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from av.stream import Disposition

from lipwise_ray.errors import SegmentError, SettingsError
from lipwise_ray.media.container import open_input, write_problem
from lipwise_ray.media.fields import AV_FIELD_ORDER
from lipwise_ray.media.matroska import ROOM, set_shown_size
from lipwise_ray.media.orientation import UPRIGHT
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.media.video_tags import PLAIN, VideoTags
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from lipwise_ray.media.side_packets import SidePackets

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_VIDEO_CODECS = {
    "mp4": {"libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc"},
    "mov": {"libx264", "libx265", "h264_nvenc", "hevc_nvenc", "prores_ks"},
    "matroska": {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "h264_nvenc", "hevc_nvenc", "prores_ks", "ffv1"},
    "webm": {"libsvtav1", "libvpx-vp9"},
}
_USUAL_CODEC = {"webm": "libsvtav1"}
_ALPHA_CODEC = {"mov": "prores_ks", "matroska": "ffv1", "webm": "libvpx-vp9"}
_APPLE_TAGS = {"hevc": "hvc1"}
"""Codec tags of MP4 and MOV without which Apple's players show nothing."""


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment to be joined, with what its marker says. ``crc`` is of its packets."""

    path: Path
    frames: int
    reorder: int
    crc: int


@dataclass(frozen=True, slots=True)
class JoinedSound:
    """Audio of a finished file.

    Attributes:
        add: Adds its stream to the file and returns its packets.
        language: As the container names it; None where it is not known.
    """

    add: Callable[[OutputContainer], Iterator[Packet[Any]]]
    language: str | None = None


def container_for(path: Path) -> str:
    """Return the FFmpeg container of an output's file name.

    Raises:
        SettingsError: The ending is not one that can be delivered.
    """
    name = CONTAINERS.get(path.suffix.lower())
    if name is None:
        raise SettingsError(
            "container",
            str(path),
            got=f"unknown ending {path.suffix!r}" if path.suffix else "a name without an ending",
            must=f"an output ends in {', '.join(CONTAINERS)}",
            do="Change the row's output",
        )
    return name


def codec_for(codec: str, container: str, *, alpha: bool = False, hdr: bool = False) -> str:
    """Return the video encoder for a container: `codec`, or the usual one when it is ``auto``.

    Args:
        codec: FFmpeg's name of an encoder.
        container: FFmpeg's name of the container.
        alpha: The video has transparency: the usual one is then one that keeps it, where the container has one.
        hdr: The video has a high dynamic range, which players show of HEVC and AV1 alone.

    Raises:
        SettingsError: The container cannot carry that codec.
    """
    if codec == "auto":
        usual = _USUAL_CODEC.get(container, "libx265" if hdr else "libx264")
        return _ALPHA_CODEC.get(container, usual) if alpha else usual
    if codec not in _VIDEO_CODECS[container]:
        raise SettingsError(
            "codec_container",
            f"encode.codec = {codec}",
            got=f"{container} cannot carry that codec",
            must=f"it can carry {', '.join(sorted(_VIDEO_CODECS[container]))}",
            do="Change encode.codec or the output's ending (.mkv carries all of them)",
        )
    return codec


def codecs_for(codecs: Sequence[str], container: str) -> list[str]:
    """Return those of several choices of `encode.codec` that a container can carry, in their order.

    Args:
        codecs: Names of encoders, or ``auto``.
        container: FFmpeg's name of the container.

    Raises:
        SettingsError: It can carry none.
    """
    refused: SettingsError | None = None
    fitting: list[str] = []
    for codec in codecs:
        try:
            codec_for(codec, container)
        except SettingsError as error:
            refused = refused or error
        else:
            fitting.append(codec)
    if refused and not fitting:
        raise refused
    return fitting


def join(
    segments: Sequence[SegmentFile],
    timeline: Timeline,
    target: Path,
    *,
    tags: VideoTags = PLAIN,
    metadata: dict[str, str],
    sounds: Sequence[JoinedSound] = (),
    rate: Fraction | None = None,
    side: SidePackets | None = None,
) -> None:
    """Write the finished file: the segments' frames without re-encoding, the audio once, and what goes along.

    Args:
        segments: In order; together exactly the timeline's frames.
        timeline: Times at which the frames are shown.
        target: The file to write; its ending chooses the container.
        tags: Tags that the container states of the video besides size and format.
        metadata: Container tags.
        sounds: Its audio, the first of which players take; none for a silent file.
        rate: Nominal frames a second, for a time code.
        side: Streams and metadata that the source's container carried beside them.

    Raises:
        SegmentError: A segment does not hold its frames.
        StorageError: The disk is full.
    """
    container = container_for(target)
    flags = "+faststart" if side is not None and side.chosen.has_cover else "+faststart+use_metadata_tags"
    options = {"movflags": flags} if container in ("mp4", "mov") else {}
    try:
        output = av.open(str(target), "w", format=container, options=options)
        finished = False
        try:
            output.metadata.update(metadata)
            with open_input(segments[0].path) as first:
                made = first.streams.video[0]
                video = output.add_stream_from_template(made, opaque=True)
                if made.codec_context.name == "prores":  # its tag is its profile
                    video.codec_context.codec_tag = made.codec_context.codec_tag
            video.time_base = timeline.time_base
            heard = [_sounding(sound, output, is_first=sound is sounds[0]) for sound in sounds]
            beside = _added(side, output, target) if side is not None else iter(())
            if side is not None and side.chosen.video_tags:
                video.metadata.update(side.chosen.video_tags)
                video.codec_context.framerate = rate or 1 / timeline.time_base  # a time code counts frames
            _describe(video, tags, container)
            other_packets = heapq.merge(*heard, beside, key=_time)
            for packet in _interleaved(_video_packets(segments, timeline, video), other_packets):
                _mux(packet, output, side)
            finished = True
        finally:
            # After a failure the trailer cannot be written either; the first error is the one to tell.
            with contextlib.suppress(*(() if finished else (av.error.FFmpegError,))):
                output.close()
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise write_problem(target, error) from error
        raise SegmentError("join", str(target), got=f"could not be muxed: {error}") from error
    if _needs_room(tags, container):
        try:
            set_shown_size(target, tags.sample_aspect_ratio)
        except OSError as error:
            raise write_problem(target, error) from error


def _sounding(sound: JoinedSound, output: OutputContainer, *, is_first: bool) -> Iterator[Packet[Any]]:
    """Add audio to a file and return its packets."""
    packets = sound.add(output)
    stream = output.streams.audio[-1]
    stream.disposition = Disposition.default | Disposition.dub if is_first else Disposition.dub
    stream.metadata.update({"language": sound.language} if sound.language else {})
    return packets


def _describe(video: VideoStream, tags: VideoTags, container: str) -> None:
    """Say of the stream what the container has words for, whether the codec says it too or not."""
    context = video.codec_context
    context.sample_aspect_ratio = tags.sample_aspect_ratio
    context.field_order = AV_FIELD_ORDER[tags.field_order]
    if tags.orientation != UPRIGHT:
        wide = round(context.width * tags.sample_aspect_ratio)
        video.set_display_matrix(tags.orientation.matrix(Size(wide, context.height)))
    if tags.has_alpha and context.name.endswith("vp9"):
        context.pix_fmt = "yuva420p"  # the decoder that looked at it leaves alpha out
    if _needs_room(tags, container):
        video.metadata["title"] = video.metadata.get("title", "") + ROOM
    if container in ("mp4", "mov") and context.name in _APPLE_TAGS:
        context.codec_tag = _APPLE_TAGS[context.name]


def _needs_room(tags: VideoTags, container: str) -> bool:
    return container in ("matroska", "webm") and tags.sample_aspect_ratio != 1


def _mux(packet: Packet[Any], output: OutputContainer, side: SidePackets | None) -> None:
    """Write a packet; where it is refused, and goes along only, its stream is noted."""
    try:
        output.mux_one(packet)
    except av.error.FFmpegError as error:
        if side is not None:
            side.blame(packet.stream_index, str(error))
        raise


def _added(side: SidePackets, output: OutputContainer, target: Path) -> Iterator[Packet[Any]]:
    """Add what goes along; PyAV tells of what a format does not know by a ValueError."""
    try:
        return side.add_to(output)
    except ValueError as error:
        raise SegmentError("join", str(target), got=f"could not be muxed: {error}") from error


def _interleaved(video: Iterator[Packet[Any]], sound: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Merge two packet streams by time, so that the muxer need not hold back many."""
    next_sound = next(sound, None)
    for packet in video:
        now = _time(packet)
        while next_sound is not None and _time(next_sound) <= now:
            yield next_sound
            next_sound = next(sound, None)
        yield packet
    if next_sound is not None:
        yield next_sound
        yield from sound


def _time(packet: Packet[Any]) -> float:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return float((stamp or 0) * packet.time_base)


def _video_packets(segments: Sequence[SegmentFile], timeline: Timeline, stream: VideoStream) -> Iterator[Packet[Any]]:
    """Yield the segments' packets, stamped from the timeline.

    The n-th packet in coding order gets the time of frame ``n - reorder`` as dts, so that dts
    rises across segment borders and never passes a packet's pts.
    """
    reorder = max(segment.reorder for segment in segments)
    ends = np.append(timeline.pts[1:], timeline.end_pts)
    step = int(ends[0] - timeline.pts[0])
    coded = 0
    base = 0
    for segment in segments:
        with open_input(segment.path) as source:
            stamps = [p.pts for p in source.demux(video=0) if p.size and p.pts is not None]
            if len(stamps) != segment.frames or len(set(stamps)) != segment.frames:
                raise SegmentError(
                    "segment_frames",
                    str(segment.path),
                    got=f"holds {len(set(stamps))} frames instead of {segment.frames}",
                    do="Run the same command again",
                )
            rank = np.argsort(np.argsort(np.array(stamps), kind="stable"), kind="stable")
            source.seek(0)
            place = 0
            for packet in source.demux(video=0):
                if not packet.size:
                    continue
                frame = base + int(rank[place])
                packet.stream = stream
                packet.time_base = timeline.time_base
                packet.pts = int(timeline.pts[frame])
                early = coded - reorder
                packet.dts = int(timeline.pts[early]) if early >= 0 else int(timeline.pts[0]) + early * step
                packet.duration = int(ends[frame] - timeline.pts[frame])
                place += 1
                coded += 1
                yield packet
        base += segment.frames
    if base != len(timeline.pts):
        raise SegmentError("segments_total", "segments", got=f"hold {base} frames instead of {len(timeline.pts)}")
