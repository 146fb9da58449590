"""Parts of a video that is not finished yet, for players: fragmented MP4 out of its segments, packets only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np

from lipwise_ray.errors import MediaError, SegmentError
from lipwise_ray.media.container import open_input
from lipwise_ray.media.join import SegmentFile
from lipwise_ray.media.timeline import Timeline

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SHOWN_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})
"""Codecs that some browser plays."""

AHEAD_S = 1
"""Times in the parts are later by so much: those of decoding come before those of showing, and are never negative."""

_OPTIONS = {
    "movflags": "frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}
_BOX_HEAD = 8


@dataclass(frozen=True, slots=True)
class LivePart:
    """Part of a video as players of HLS and MSE take it.

    Attributes:
        head: The file's beginning, without media: the same for all parts of a video.
        media: The media.
    """

    head: bytes
    media: bytes


def live_part(segment: SegmentFile, timeline: Timeline, first: int, sound: Path | None = None) -> LivePart:
    """Return a segment, and the audio beside it, as a part.

    Args:
        segment: The segment.
        timeline: Times of all frames of the video.
        first: Its first frame in that.
        sound: The video's audio from its beginning; None for a silent part.

    Raises:
        SegmentError: It does not hold its frames, in a codec that some browser plays.
    """
    last = first + segment.frames
    stop = int(timeline.pts[last]) if last < len(timeline.pts) else timeline.end_pts
    whole = io.BytesIO()
    try:
        with open_input(segment.path) as source, av.open(whole, "w", format="mp4", options=_OPTIONS) as target:
            made = source.streams.video[0]
            if made.codec_context.name not in SHOWN_CODECS:
                codec = made.codec_context.name
                raise SegmentError("live_codec", "this video", got=f"is {codec}, which no browser plays")
            video = target.add_stream_from_template(made, opaque=True)
            video.time_base = timeline.time_base
            if made.codec_context.name == "hevc":
                video.codec_context.codec_tag = "hvc1"
            if sound is None:
                target.mux([*_shown(source, segment, timeline, first, video)])
            else:
                start_s = float((int(timeline.pts[first]) - int(timeline.pts[0])) * timeline.time_base)
                stop_s = float((stop - int(timeline.pts[0])) * timeline.time_base)
                with open_input(sound) as heard:
                    track = target.add_stream_from_template(heard.streams.audio[0], opaque=True)
                    packets = _heard(heard, track, start_s, stop_s if last < len(timeline.pts) else None)
                    target.mux([*_shown(source, segment, timeline, first, video)])
                    target.mux([*packets])
    except (MediaError, av.error.FFmpegError, ValueError, IndexError) as error:  # the last of one without a video
        raise SegmentError("live_part", str(segment.path), got=f"cannot be shown: {error}") from error
    return _split(whole.getvalue())


def _shown(
    source: InputContainer, segment: SegmentFile, timeline: Timeline, first: int, stream: VideoStream
) -> Iterator[Packet[Any]]:
    """Yield a segment's packets, with the times of the whole video."""
    stamps = [packet.pts for packet in source.demux(video=0) if packet.size and packet.pts is not None]
    if len({*stamps}) != segment.frames:
        raise SegmentError("segment_frames", str(segment.path), got=f"holds {len(stamps)} of {segment.frames} frames")
    rank = np.argsort(np.argsort(np.array(stamps), kind="stable"), kind="stable")
    ends = np.append(timeline.pts[1:], timeline.end_pts)
    begin, step = int(timeline.pts[0]), int(ends[0] - timeline.pts[0])
    ahead = round(AHEAD_S / timeline.time_base) - begin
    source.seek(0)
    for place, packet in enumerate(one for one in source.demux(video=0) if one.size):
        frame, early = first + int(rank[place]), first + place - segment.reorder
        packet.stream = stream
        packet.time_base = timeline.time_base
        packet.pts = ahead + int(timeline.pts[frame])
        packet.dts = ahead + (int(timeline.pts[early]) if early >= 0 else begin + early * step)
        packet.duration = int(ends[frame] - timeline.pts[frame])
        yield packet


def _heard(source: InputContainer, stream: AudioStream, start_s: float, stop_s: float | None) -> Iterator[Packet[Any]]:
    """Yield the packets that begin in a stretch of the audio; what comes before its beginning is of the encoder."""
    track = source.streams.audio[0]
    base = track.time_base
    assert base is not None  # as of every stream that was demuxed
    if start_s > 0:
        source.seek(int(start_s / base), stream=track)
    ahead = round(AHEAD_S / base)
    for packet in source.demux(track):
        if not packet.size or packet.pts is None:
            continue
        begins_s = float(packet.pts * base)
        if stop_s is not None and begins_s >= stop_s:
            return
        if begins_s >= start_s:
            packet.stream = stream
            packet.time_base = base
            packet.pts += ahead
            packet.dts = packet.pts
            yield packet


def _split(whole: bytes) -> LivePart:
    """Return a fragmented file's head and media."""
    at = 0
    while at + _BOX_HEAD <= len(whole):
        size, kind = int.from_bytes(whole[at : at + 4]), whole[at + 4 : at + _BOX_HEAD]
        if kind == b"moof":
            return LivePart(whole[:at], whole[at:])
        at += max(size, _BOX_HEAD)
    raise SegmentError("live_part", "a part", got="has no media")
