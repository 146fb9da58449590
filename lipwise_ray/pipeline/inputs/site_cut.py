"""Part of a site's video: when it is shown on the clock of the whole, told by the file's own time stamps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.errors import MediaError
from lipwise_ray.media.container import open_input, reading
from lipwise_ray.media.remux import remux
from lipwise_ray.media.usual_streams import video_stream
from lipwise_ray.pipeline.inputs.site_pieces import FormatPart, UsedSeconds

_KINDS = ("video", "audio")
_WARM_UP_S = Fraction(1, 10)
"""Of audio before its first second that is used: the first packet decodes to a half."""

_SLACK_S = Fraction(2, 1000)
"""By so much a start or an end that is given as a rounded decimal may miss the frame that it means."""


@dataclass(slots=True)
class _Stamps:
    """Time stamps of a stream in its ticks.

    Attributes:
        tick_s: Length of a tick.
        first: Of the first packet.
        least, most: The bounds of all.
        least_key: The least of a key packet; None where there is none.
        used: Number of those that are used.
    """

    tick_s: Fraction
    first: int
    least: int
    most: int
    least_key: int | None = None
    used: int = 0

    def at_tick(self, time_s: Fraction) -> int:
        """Return the tick of a time, rounded as FFmpeg does."""
        return _rounded(time_s / self.tick_s)


def _rounded(number: Fraction) -> int:
    away = math.floor(abs(number) + Fraction(1, 2))
    return away if number > 0 else -away


def join_part(files: Sequence[Path], openings: Sequence[Path], target: Path, opening: Path) -> bool:
    """Join the video and audio of a part, on the clock on which those of the whole would be joined.

    Writers of containers move all times where the first is negative. The beginning of the whole says by how much.

    Args:
        files: The part's video and audio.
        openings: Those of the beginning of the whole; none where the part begins there.
        target: The joined part.
        opening: The joined beginning.

    Returns:
        False where such a clock cannot be told.

    Raises:
        MediaError: A file lacks its stream, or cannot be read.
        OutputError: A joined file cannot be written.
        StorageError: The disk is full, or refuses.
    """
    remux(files[0], files[1], target)
    if not openings:
        return True
    if len({_format_of(path) for path in (*files, *openings)}) > 1:
        return False  # each then starts at 0, whenever it is shown
    remux(openings[0], openings[1], opening)
    later_s = _moved_s(openings[0], opening) - _moved_s(files[0], target)
    if later_s:
        remux(files[0], files[1], target, later_s)
    return True


def _moved_s(apart: Path, joined: Path) -> Fraction:
    """Return by how much a stream's times were moved when it was joined with another, in whole ticks."""
    before, after = _stamps(apart)["video"], _stamps(joined)["video"]
    return (after.first - after.at_tick(before.first * before.tick_s)) * after.tick_s


def first_frame_s(path: Path) -> Fraction:
    """Return the time of a video's first shown frame on its container's clock.

    Args:
        path: The video, or its beginning.

    Raises:
        MediaError: It has no frame that can be read, or it has no time.
    """
    with reading(path), open_input(path) as container:
        stream = video_stream(container)
        frame = next(container.decode(stream), None) if stream is not None else None
        if frame is None or frame.pts is None or not frame.time_base:
            raise MediaError("no_frames", str(path), got="holds no frame with a time")
        return frame.pts * frame.time_base


def holds(file: Path, parts: Sequence[FormatPart], zero_s: Fraction, seconds: UsedSeconds) -> bool:
    """Tell whether a part holds all that a row uses, and what decoders need before it.

    Args:
        file: The part.
        parts: Its video, and its audio where that comes apart.
        zero_s: Time of the whole's first frame on the clock of the file.
        seconds: What is used.
    """
    with reading(file), open_input(file) as container:
        kinds = {stream.type for stream in container.streams}
    begin_s = Fraction(seconds.start_s) + zero_s
    stop_s = None if seconds.end_s is None else Fraction(seconds.end_s) + zero_s
    found = _stamps(file, begin_s, stop_s)
    if "video" not in found or not found["video"].used:
        return False  # whoever has the whole says what is wrong
    for kind, part in zip(_KINDS, (parts[0], parts[-1]), strict=True):
        if kind not in kinds:
            continue
        if (stamps := found.get(kind)) is None:
            return False
        # A picture is decoded from a key frame on; every packet of sound is one.
        early_s, least = (_WARM_UP_S, stamps.least) if kind == "audio" else (_SLACK_S, stamps.least_key)
        if part.first and (least is None or least * stamps.tick_s > begin_s - early_s):
            return False
        if part.stop < part.count and (stop_s is None or stamps.most * stamps.tick_s < stop_s):
            return False
    return True


def _format_of(path: Path) -> str:
    with reading(path), open_input(path) as container:
        return container.format.name


def _stamps(path: Path, begin_s: Fraction = Fraction(0), stop_s: Fraction | None = None) -> dict[str, _Stamps]:
    """Return the time stamps of a file's first streams of video and audio; used are those between two times."""
    with reading(path), open_input(path) as container:
        first = {stream.type: stream for stream in reversed(container.streams) if stream.type in _KINDS}
        found: dict[str, _Stamps] = {}
        for packet in container.demux(list(first.values())):
            if not packet.size or packet.pts is None:
                continue
            fresh = _Stamps(Fraction(packet.time_base), packet.pts, packet.pts, packet.pts)
            one = found.setdefault(packet.stream.type, fresh)
            one.least, one.most = min(one.least, packet.pts), max(one.most, packet.pts)
            if packet.is_keyframe:
                one.least_key = packet.pts if one.least_key is None else min(one.least_key, packet.pts)
            moment_s = packet.pts * packet.time_base
            one.used += begin_s <= moment_s and (stop_s is None or moment_s < stop_s - _SLACK_S)
    return found
