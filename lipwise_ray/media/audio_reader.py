"""Reading audio: decoded samples at the times that the file states for them.

Every reader of audio goes through here, so what is heard, measured, mixed and delivered agree to the sample. Time is
read, not counted: a hole in the time stamps (lost packets, pauses that were not sent) becomes silence of that length,
an overlap is cut. Parameters may change in mid-stream: a stretch of equal rate and channels is a run, converted by
itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
import soxr

from lipwise_ray.errors import AudioError
from lipwise_ray.media.channels import channel_names, routes
from lipwise_ray.media.container import decode_problem, open_input, reading
from lipwise_ray.media.limits import check_duration
from lipwise_ray.media.probe import AudioInfo, layout_name
from lipwise_ray.media.samples import Samples, samples_of
from lipwise_ray.media.stated_size import refuse_cut
from lipwise_ray.settings.execution import WIDEST_LIMITS
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.values import round_half_up

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.packet import Packet

BLOCK_SAMPLES = 1 << 16

_COUNTED = frozenset({"mp3", "aac", "ac3", "eac3", "amr", "avi", "wav", "w64", "aiff", "caf", "au", "wv"})
"""Demuxers of files that state no times: theirs are counted from the packets, so they cannot show a hole."""

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""First bytes of packets that hold no audio: joining MP3 files leaves their tags in the middle."""

_JITTER_S = Fraction(15, 1000)
"""Time stamps that are off by no more are inexact, and nothing is missing; the shortest packet in use has 20 ms."""

_WATCH_S, _WATCH_FRAMES = Fraction(1, 4), 64
"""Stamps that jump are believed where all those of so much audio agree; one alone is wrong (Vorbis has such)."""

_RESTART_S = Fraction(1, 2)
"""Stamps that jump back further have started anew, as in files that were joined: audio goes on where it stood."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Parameters that stay the same within a run."""

    rate_hz: int
    layout: str

    @property
    def count(self) -> int:
        """Number of channels."""
        return av.AudioLayout(self.layout).nb_channels


@dataclass(slots=True)
class Findings:
    """Findings of decoding; whole once all is read.

    Attributes:
        runs: The parameters of each run that differ from the run's before.
        holes: Number of holes that became silence, and of overlaps that were cut.
        hole_s: Their length together.
        length_s: Length of all that was read, silence included.
    """

    runs: list[Channels] = field(default_factory=list[Channels])
    holes: int = 0
    hole_s: Fraction = Fraction(0)
    length_s: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Timed:
    """A decoded frame.

    ``time_s`` is when the file says that it begins, ``lost_s`` the length of packets before it that did not decode,
    ``begin_s`` its place in what is read.
    """

    frame: AudioFrame
    channels: Channels
    samples: int
    time_s: Fraction | None
    lost_s: Fraction
    begin_s: Fraction = Fraction(0)

    @property
    def duration_s(self) -> Fraction:
        return Fraction(self.samples, self.channels.rate_hz)


class AudioReader:
    """Reads an audio stream once, from its beginning.

    Args:
        info: The audio stream.
        salvage: Keep what decodes of a damaged stream; silence takes the place of what does not.
        limits: Limits on its length, whatever its header or its time stamps say.
        precise: Samples as float64, for sources of more than 24 bits; else float32.
    """

    def __init__(
        self, info: AudioInfo, *, salvage: bool = False, limits: LimitsSettings | None = None, precise: bool = False
    ) -> None:
        self._info = info
        self._salvage = salvage
        self._limits = limits or WIDEST_LIMITS
        self._kind, self._dtype = ("dbl", np.dtype(np.float64)) if precise else ("flt", np.dtype(np.float32))
        self._start_s: Fraction | None = None
        self._slack_s = _JITTER_S
        self.findings = Findings()

    def runs(self) -> Iterator[tuple[Channels, Iterator[Samples]]]:
        """Yield each run's parameters and its samples, in blocks of shape (channels, N); together without a hole.

        A run has to be read to its end before the next.

        Raises:
            AudioError: A sample is NaN or infinite.
            MediaError: The stream is damaged, or longer than the limits allow.
        """
        for channels, frames in groupby(self._placed(), lambda frame: frame.channels):
            self.findings.runs.append(channels)
            yield channels, self._blocks(channels, frames)

    def blocks(self, rate_hz: int, layout: str) -> Iterator[Samples]:
        """Yield all samples at one rate and in one layout, in blocks of shape (channels, N).

        Args:
            rate_hz: Rate of the blocks.
            layout: FFmpeg's name of their channels.

        Raises:
            AudioError: A sample is NaN or infinite.
            MediaError: The stream is damaged, or longer than the limits allow.
        """
        names = channel_names(layout)
        for channels, blocks in self.runs():
            ways = routes(channel_names(channels.layout), names).astype(self._dtype)
            matched = blocks if channels.layout == layout else (ways @ block for block in blocks)
            yield from self.resampled(matched, channels.rate_hz, rate_hz, len(names))

    def resampled(self, blocks: Iterator[Samples], from_hz: int, rate_hz: int, count: int) -> Iterator[Samples]:
        """Yield a run at another rate; runs one after the other leave no gap and do not overlap.

        Args:
            blocks: Made of the run that is being read, of shape (channels, N).
            from_hz: Their rate.
            rate_hz: The rate wanted.
            count: Number of channels.
        """
        if from_hz == rate_hz:
            yield from blocks
            return
        stream = soxr.ResampleStream(from_hz, rate_hz, count, dtype=self._dtype.name, quality="HQ")
        missing = -round_half_up(self.findings.length_s * rate_hz)
        for block in blocks:
            piece = stream.resample_chunk(np.ascontiguousarray(block.T, self._dtype)).T
            missing -= piece.shape[1]
            if piece.shape[1]:
                yield piece
        missing += round_half_up(self.findings.length_s * rate_hz)
        tail = stream.resample_chunk(np.zeros((0, count), self._dtype), last=True).T[:, : max(0, missing)]
        if missing > 0:
            yield np.pad(tail, ((0, 0), (0, missing - tail.shape[1])))

    def _placed(self) -> Iterator[_Timed]:
        """Yield the frames, each with its place in what is read, which may overlap those before."""
        frames = self._decoded()
        ahead: deque[_Timed] = deque()
        cursor_s: Fraction | None = None  # when the next frame would begin, on the file's clock
        begin_s = end_s = self._info.lead_s  # the same in what is read, and the end of that
        longest_s = Fraction(self._limits.hours) * 3600
        while (frame := ahead.popleft() if ahead else next(frames, None)) is not None:
            gap_s = frame.lost_s
            if cursor_s is None:
                starts = [time_s for time_s in (self._start_s, frame.time_s) if time_s is not None]
                cursor_s = min(starts, default=Fraction(0))
            if frame.time_s is not None and abs(frame.time_s - cursor_s) > self._slack_s:
                ahead.extend(_watched(frames, ahead))
                gap_s = _jump([frame, *ahead], cursor_s, self._slack_s)
                if gap_s < -_RESTART_S:
                    cursor_s, begin_s, gap_s = cursor_s + gap_s, end_s, Fraction(0)
            if gap_s:
                gap_s = Fraction(round_half_up(gap_s * frame.channels.rate_hz), frame.channels.rate_hz)
                self.findings.holes += 1
                self.findings.hole_s += abs(gap_s)
                cursor_s, begin_s = cursor_s + gap_s, begin_s + gap_s
            placed, duration_s = replace(frame, begin_s=begin_s), frame.duration_s
            cursor_s, begin_s = cursor_s + duration_s, begin_s + duration_s
            end_s = max(end_s, begin_s)
            if end_s > longest_s:
                check_duration(end_s, self._info.path, self._limits)
            yield placed

    def _decoded(self) -> Iterator[_Timed]:
        """Yield the frames as they are decoded.

        Raises:
            MediaError: The stream is damaged, and is not to be salvaged.
        """
        info = self._info
        layouts: dict[str, str] = {}
        with reading(info.path), open_input(info.path) as container:
            if not self._salvage:
                refuse_cut(info.path, info.container)
            stream = next(candidate for candidate in container.streams.audio if candidate.index == info.stream_index)
            is_stated = info.container not in _COUNTED
            tick_s = stream.time_base or Fraction(0)
            self._slack_s = _JITTER_S + 2 * tick_s
            if is_stated and stream.start_time is not None:
                self._start_s = stream.start_time * tick_s
            frames = self._frames(container.demux(stream))
            following = next(frames, None)
            while following is not None:
                (frame, lost_s), following = following, next(frames, None)
                name = frame.layout.name
                if name not in layouts:
                    layouts[name] = layout_name(frame.layout)
                time_s = frame.pts * tick_s if is_stated and frame.pts is not None else None
                samples = frame.samples
                if following is None and info.container.startswith("mov"):
                    samples = _stated_end(frame, stream)
                yield _Timed(
                    frame,
                    Channels(frame.sample_rate, layouts[name]),
                    samples,
                    time_s,
                    Fraction(0) if is_stated else lost_s,
                )

    def _frames(self, packets: Iterator[Packet[Any]]) -> Iterator[tuple[AudioFrame, Fraction]]:
        """Yield decoded frames, each with the length of the packets before it that did not decode."""
        lost_s = Fraction(0)
        while True:
            packet: Packet[Any] | None = None
            try:
                packet = next(packets)
                for frame in cast("list[AudioFrame]", packet.decode()):
                    if frame.samples:
                        yield frame, lost_s
                        lost_s = Fraction(0)
            except (StopIteration, av.error.EOFError):
                return
            except av.error.FFmpegError as error:
                if packet is not None and bytes(packet).startswith(_TAGS):
                    continue
                if not self._salvage:
                    raise decode_problem(self._info.path, error, "in its audio") from error
                if packet is not None and packet.duration:
                    lost_s += packet.duration * packet.time_base

    def _blocks(self, channels: Channels, frames: Iterator[_Timed]) -> Iterator[Samples]:
        """Yield a run's samples, and count them."""
        start_s, samples = self.findings.length_s, 0
        for block in self._filled(channels, frames):
            samples += block.shape[1]
            self.findings.length_s = start_s + Fraction(samples, channels.rate_hz)
            yield block

    def _filled(self, channels: Channels, frames: Iterator[_Timed]) -> Iterator[Samples]:
        """Yield a run's samples with silence in its holes and without what overlaps."""
        packers: dict[str, av.AudioResampler] = {}
        for frame in frames:
            length_s = self.findings.length_s
            gap = round_half_up((frame.begin_s - length_s) * channels.rate_hz) if frame.begin_s != length_s else 0
            cut = max(0, -gap)
            while gap > 0:
                yield np.zeros((channels.count, min(gap, BLOCK_SAMPLES)), self._dtype)
                gap -= BLOCK_SAMPLES
            kind = frame.frame.format.name
            if kind not in packers:
                packers[kind] = av.AudioResampler(format=self._kind, layout=channels.layout, rate=channels.rate_hz)
            frame.frame.pts = None
            for piece in packers[kind].resample(frame.frame):
                samples = samples_of(piece)[:, : frame.samples]
                self._check_samples(samples)
                if samples.shape[1] > cut:
                    yield samples[:, cut:]
                cut = max(0, cut - samples.shape[1])

    def _check_samples(self, samples: Samples) -> None:
        if np.isfinite(samples).all():
            return
        raise AudioError(
            "not_finite",
            str(self._info.path),
            got=f"holds NaN or infinity after {float(self.findings.length_s):.2f} s of audio",
            do="Export the audio again, as 16 or 24 bit integers",
        )


def _stated_end(frame: AudioFrame, stream: AudioStream) -> int:
    """Return the number of samples of an MP4's last frame that are audio; the rest fills its packet up."""
    tick_s, samples = stream.time_base or Fraction(0), frame.samples
    stated_samples = round_half_up(frame.duration * tick_s * frame.sample_rate)
    if stated_samples >= samples and stream.duration and frame.pts is not None:  # a parser knows packets only whole
        stated_samples = round_half_up(
            (stream.duration + (stream.start_time or 0) - frame.pts) * tick_s * frame.sample_rate
        )
    return stated_samples if 0 < stated_samples < samples else samples


def _watched(frames: Iterator[_Timed], ahead: Sequence[_Timed]) -> list[_Timed]:
    """Return as many more frames as have to be looked at before a jump is believed."""
    more: list[_Timed] = []
    length_s = sum((waiting.duration_s for waiting in ahead), Fraction(0))
    while (
        length_s < _WATCH_S and len(ahead) + len(more) < _WATCH_FRAMES and (following := next(frames, None)) is not None
    ):
        more.append(following)
        length_s += following.duration_s
    return more


def _jump(frames: Sequence[_Timed], cursor_s: Fraction, slack_s: Fraction) -> Fraction:
    """Return the jump of time stamps before the first of some frames, 0 where they do not agree.

    Args:
        frames: The frame that is next, and those after it.
        cursor_s: Time at which it would begin if nothing were missing.
        slack_s: Tolerance of time stamps.
    """
    least: Fraction | None = None
    for frame in frames:
        if frame.time_s is not None:
            off_s = frame.time_s - cursor_s
            if abs(off_s) <= slack_s or (least is not None and (off_s > 0) != (least > 0)):
                return Fraction(0)
            least = off_s if least is None else min(least, off_s, key=abs)
        cursor_s += frame.duration_s
    assert least is not None  # the first frame has a time
    packets = round_half_up(abs(least) / frames[0].duration_s)
    whole_s = packets * frames[0].duration_s
    if packets and abs(whole_s - abs(least)) <= slack_s - _JITTER_S:
        return whole_s if least > 0 else -whole_s  # packets are lost whole; stamps are only as exact as their unit
    return least
