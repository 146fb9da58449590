"""The frame index: which frames a player would show, and when. Made by demuxing where that is exact."""

from __future__ import annotations

import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np

from lipwise_ray.errors import MediaError
from lipwise_ray.media.container import damaged, decode_problem, open_input, reading
from lipwise_ray.media.cut_image import refuse_cut_image
from lipwise_ray.media.image_sequence import SERIES, WEBP_ANIMATION, ImageSequence, open_image_sequence
from lipwise_ray.media.pixels import plane_bytes
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.sizes import SizeSurvey
from lipwise_ray.media.stated_size import refuse_cut
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import BoolArray, I64Array, Size

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

# Frame times come whole and unambiguous out of these demuxers; the others leave time stamps out
# of some packets or split frames over several, and only decoding tells what is shown.
_EXACT_DEMUXERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "100", "120")
)
_UNCOUNTED = ("matroska", "ivf")
"""Containers whose number of frames is a guess, or a length in ticks, as many writers of IVF have it."""
_TRUNCATED_SLACK_S = 1.0
_TRUNCATED_SHARE = 0.02
_TRUNCATED_STREAM_S = 0.5
_MOST_OFF_TICKS = 1.001  # a tick, and the rounding of floats
_ARRAYS = {
    "pts": ArraySpec("int64", ("N",)),
    "is_key": ArraySpec("bool", ("N",)),
    "seek_ts": ArraySpec("int64", ("N",)),
    "key_crc": ArraySpec("int64", ("K",)),
    "numbers": ArraySpec("int64", (5,)),
    "sizes": ArraySpec("int64", ("S", 2)),
}


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Every shown frame of a video, in the order it is shown.

    Attributes:
        pts: Time stamps in ticks of `time_base`, strictly increasing, shape (N,).
        is_key: True where decoding can start at the frame, shape (N,).
        seek_ts: Time stamp to seek to for a key frame (its dts, else pts), shape (N,).
        key_crc: CRC-32 of a key frame's luma where the container's time stamps cannot be trusted
            after a seek and the frame itself has to tell where the decoder stands; else empty.
        end_pts: End of the last frame.
        time_base: Seconds a tick.
        rate: Frames a second where the rate is constant, else None.
        sizes: The sizes that its frames have, the first one's first; mostly one.
    """

    pts: I64Array
    is_key: BoolArray
    seek_ts: I64Array
    key_crc: I64Array
    end_pts: int
    time_base: Fraction
    rate: Fraction | None
    sizes: tuple[Size, ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def mean_rate(self) -> Fraction:
        """The constant rate, or the mean rate of a variable one."""
        if self.rate is not None:
            return self.rate
        return Fraction(len(self)) / ((self.end_pts - int(self.pts[0])) * self.time_base)

    def save(self, path: Path) -> None:
        """Write the index as .npz."""
        rate = self.rate or Fraction(0)
        np.savez_compressed(
            path,
            pts=self.pts,
            is_key=self.is_key,
            seek_ts=self.seek_ts,
            key_crc=self.key_crc,
            numbers=np.array([self.end_pts, *self.time_base.as_integer_ratio(), *rate.as_integer_ratio()], np.int64),
            sizes=np.array([(size.width, size.height) for size in self.sizes], np.int64),
        )

    @staticmethod
    def load(path: Path) -> FrameIndex:
        """Read an index that `save` wrote.

        Raises:
            ValueError: It is damaged.
        """
        data = read_npz(path, _ARRAYS)
        end_pts, tb_num, tb_den, rate_num, rate_den = (int(n) for n in data["numbers"])
        pts, key_crc = data["pts"], data["key_crc"]
        sizes = data["sizes"]
        is_sane = min(tb_num, tb_den, rate_den) > 0 and rate_num >= 0 and len(key_crc) in (0, len(pts))
        is_sane &= bool(len(sizes)) and int(sizes.min(initial=1)) > 0
        if not (is_sane and len(pts) and (np.diff(pts) > 0).all() and end_pts > pts[-1]):
            raise ValueError(f"{path.name}: time stamps do not rise")
        return FrameIndex(
            pts=pts,
            is_key=data["is_key"],
            seek_ts=data["seek_ts"],
            key_crc=key_crc,
            end_pts=end_pts,
            time_base=Fraction(tb_num, tb_den),
            rate=Fraction(rate_num, rate_den) if rate_num else None,
            sizes=tuple(Size(int(width), int(height)) for width, height in sizes),
        )


def build_index(info: VideoInfo, *, salvage: bool = False) -> FrameIndex:
    """Return the exact frame index of a video.

    Demuxes where the container states every frame's time; decodes otherwise, and always when
    `salvage` asks for just the frames that decode.

    Args:
        info: The video.
        salvage: Index just the frames that decode, also of a damaged file.

    Raises:
        MediaError: The file has no frame, or ends before its declared end and `salvage` is off.
    """
    with reading(info.path):
        return _built(info, salvage=salvage)


def check_packets(info: VideoInfo) -> None:
    """Read every packet's header once, without decoding; a series of images has none.

    Raises:
        MediaError: The file ends before its declared end, or a packet is damaged.
    """
    if info.container in (SERIES, WEBP_ANIMATION):
        return
    with reading(info.path):
        _refuse_truncated(info, _survey(info))


def _built(info: VideoInfo, *, salvage: bool) -> FrameIndex:
    sequence = open_image_sequence(info.path)
    if sequence is not None:
        with closing(sequence):
            return _of_pictures(sequence, info, salvage=salvage)
    survey = _Survey([], exact=False)
    if not salvage:
        survey = _survey(info)
        _refuse_truncated(info, survey)
    sizes = dict.fromkeys([info.size, *survey.sizes])
    entries = survey.entries if survey.exact else _decoded(info, sizes, salvage=salvage)
    if not entries:
        raise MediaError("no_frames", str(info.path), got="holds no frames", do="Check that it plays")
    entries.sort()
    if info.is_still:
        del entries[1:]  # frames behind the first one have no time of their own
    table = np.array(entries, np.int64)
    pts = np.ascontiguousarray(table[:, 0])
    steps = np.diff(pts)
    last_step = int(table[-1, 3]) or (int(np.median(steps)) if len(steps) else _default_step(info))
    is_key = table[:, 1].astype(np.bool_)
    is_key[0] = True
    return FrameIndex(
        pts=pts,
        is_key=is_key,
        seek_ts=np.ascontiguousarray(table[:, 2]),
        key_crc=np.zeros(0, np.int64) if survey.exact else np.ascontiguousarray(table[:, 4]),
        end_pts=int(pts[-1]) + last_step,
        time_base=info.time_base,
        rate=_constant_rate(pts, info),
        sizes=tuple(sizes),
    )


def _of_pictures(sequence: ImageSequence, info: VideoInfo, *, salvage: bool) -> FrameIndex:
    """Return the index of frames of which each can be had by itself."""
    table = np.array(list(sequence.times(salvage=salvage)), np.int64).reshape(-1, 2)
    if not len(table):
        raise MediaError("no_frames", str(info.path), got="holds no frames", do="Check that it shows")
    pts = np.ascontiguousarray(table[:, 0])
    rate = _constant_rate(pts, info)
    if info.container == SERIES and np.any(table[:, 1] != 1):
        rate = None  # a tick is a whole frame there, so the time of a gap is no rounding
    return FrameIndex(
        pts=pts,
        is_key=np.ones(len(pts), np.bool_),
        seek_ts=pts,
        key_crc=np.zeros(0, np.int64),
        end_pts=int(table[-1].sum()),
        time_base=info.time_base,
        rate=rate,
        sizes=tuple(dict.fromkeys([info.size, *sequence.sizes()])),
    )


_Entry = tuple[int, bool, int, int, int]  # pts, is key frame, seek time stamp, duration, key_crc


@dataclass(slots=True)
class _Survey:
    """Findings of demuxing: the shown frames, and whether that is exact.

    ``end_s`` is the end of the last packet of any stream on the container's clock, ``video_end_s``
    that of the frames; ``sizes`` is what their headers say.
    """

    entries: list[_Entry]
    exact: bool
    packets: int = 0
    end_s: float = 0.0
    video_end_s: float = 0.0
    sizes: tuple[Size, ...] = ()
    _seen: set[int] = field(default_factory=set[int])
    _first_key: int | None = None

    def take(self, packet: Packet[Any], path: Path) -> None:
        """Note one packet of the video stream."""
        self.packets += 1
        if packet.is_corrupt:
            raise damaged(path, f"a packet is damaged after {self.packets} frames")
        if packet.pts is None or packet.pts in self._seen:
            self.exact = False
            return
        if self._first_key is None:
            self.exact = self.exact and packet.is_keyframe
            self._first_key = packet.pts
        if packet.is_discard:
            return
        if packet.pts < self._first_key:
            self.exact = False  # leading pictures of an open group: the decoder may drop them
        self._seen.add(packet.pts)
        seek_ts = packet.pts if packet.dts is None else packet.dts
        self.entries.append((packet.pts, packet.is_keyframe, seek_ts, packet.duration or 0, 0))


def _survey(info: VideoInfo) -> _Survey:
    """Read every packet's header once."""
    survey = _Survey([], exact=info.container in _EXACT_DEMUXERS)
    with open_input(info.path) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        sizes = SizeSurvey(next(s for s in container.streams.video if s.index == info.stream_index), info.size)
        try:
            for packet in container.demux(streams):
                if not packet.size:
                    continue
                is_video = packet.stream_index == info.stream_index
                if packet.pts is not None:
                    end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    survey.end_s = max(survey.end_s, end_s)
                    survey.video_end_s = max(survey.video_end_s, end_s if is_video else 0.0)
                if is_video:
                    survey.take(packet, info.path)
                    if survey.exact:  # else all is decoded
                        sizes.take(packet)
        except av.error.FFmpegError as error:
            raise decode_problem(info.path, error, f"after {survey.packets} frames") from error
    survey.sizes = sizes.sizes
    return survey


def _decoded(info: VideoInfo, sizes: dict[Size, None], *, salvage: bool) -> list[_Entry]:
    """Return the shown frames by decoding all of them; their sizes are added to those known."""
    entries: list[_Entry] = []
    previous: int | None = None
    with open_input(info.path, keep_corrupt=not salvage) as container:
        stream = next(s for s in container.streams.video if s.index == info.stream_index)
        stream.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        packets = container.demux(stream)
        while True:
            try:
                for frame in next(packets).decode():
                    if frame.is_corrupt:
                        if salvage:
                            continue
                        raise damaged(info.path, f"a frame is damaged after {len(entries)} others")
                    sizes.setdefault(Size(frame.width, frame.height))
                    duration = frame.duration or 0
                    number = frame.pts
                    if number is None or (previous is not None and number <= previous):
                        number = 0 if previous is None else previous + (duration or _default_step(info))
                    crc = luma_crc(frame) if frame.key_frame else 0
                    entries.append((number, bool(frame.key_frame), number, duration, crc))
                    previous = number
            except (StopIteration, av.error.EOFError):
                break
            except av.error.FFmpegError as error:
                if not salvage:
                    raise decode_problem(info.path, error, f"after {len(entries)} frames") from error
    counts = Counter(entry[4] for entry in entries if entry[1])
    # A key frame that looks like another one cannot tell where the decoder stands.
    return [(n, key and counts[crc] == 1, ts, d, crc) for n, key, ts, d, crc in entries]


def luma_crc(frame: VideoFrame) -> int:
    """Return the CRC-32 of a frame's first plane, its padding left out."""
    plane = frame.planes[0]
    row_bytes = plane.width * max(1, frame.format.components[0].bits + 7 >> 3)
    rows = plane_bytes(plane)[: plane.height, :row_bytes]
    return zlib.crc32(rows.tobytes())


def _default_step(info: VideoInfo) -> int:
    rate = info.average_rate or info.guessed_rate or Fraction(25)
    return max(1, round(1 / (rate * info.time_base)))


def _constant_rate(pts: I64Array, info: VideoInfo) -> Fraction | None:
    """Return the rate that explains every time stamp to within a tick, or None."""
    candidates = [info.average_rate, info.guessed_rate]
    if len(pts) == 1:
        return info.average_rate or info.guessed_rate or Fraction(25)
    ticks = int(pts[-1] - pts[0])
    step = int(np.median(np.diff(pts)))
    candidates.append(1 / (step * info.time_base))
    candidates += _STANDARD_RATES
    candidates.append(Fraction(len(pts) - 1) / (ticks * info.time_base))
    numbers = np.arange(len(pts), dtype=np.float64)
    for rate in candidates:
        if rate is None or rate <= 0:
            continue
        ticks_a_frame = 1 / (rate * info.time_base)
        if abs(ticks_a_frame * (len(pts) - 1) - ticks) > 1:
            continue
        exact = numbers * float(ticks_a_frame)
        if np.abs(pts - pts[0] - exact).max() <= _MOST_OFF_TICKS:
            return rate
    return None


def _refuse_truncated(info: VideoInfo, survey: _Survey) -> None:
    if info.is_still:
        refuse_cut_image(info.path)
        return
    got, declared_s = "", float(info.container_end_s or 0)
    if info.declared_frames and not info.container.startswith(_UNCOUNTED):
        # Some AVI writers count dropped frames too; a cut file lacks far more.
        slack = 0 if info.container.startswith("mov") else _TRUNCATED_SHARE * info.declared_frames
        if survey.packets < info.declared_frames - slack:
            got = f"holds {survey.packets} of the {info.declared_frames} frames that it declares"
    elif float(info.declared_end_s or 0) - survey.video_end_s > _TRUNCATED_STREAM_S:
        got = f"holds frames for {survey.video_end_s:.2f} s where {float(info.declared_end_s or 0):.2f} s are declared"
    elif declared_s - survey.end_s > max(_TRUNCATED_SLACK_S, _TRUNCATED_SHARE * declared_s):
        got = f"holds {survey.end_s:.2f} s where {declared_s:.2f} s are declared"
    if got:
        raise MediaError(
            "truncated",
            str(info.path),
            got=got,
            do='It may be cut off: copy it again, or set on_error = "salvage" to dub what decodes',
        )
    refuse_cut(info.path, info.container)  # Ogg, and MP4 in fragments, declare no more frames than are there
