"""Several sounds as one, each at its place; streamed, never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

from lipwise_ray.errors import AudioError
from lipwise_ray.media.audio import decode_audio
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.values import F32Array, round_half_up

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

_BLOCK_SAMPLES = 1 << 16
_FULL = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Clip:
    """A sound and its place in a mix.

    Attributes:
        info: The audio stream.
        duration_s: Its exact length.
        start_s: Where it begins.
        end_s: Where it ends at the latest, None for its own end.
    """

    info: AudioInfo
    duration_s: Fraction
    start_s: float
    end_s: float | None

    @property
    def stop_s(self) -> Fraction:
        """Where it is over."""
        whole = Fraction(self.start_s) + self.duration_s
        return whole if self.end_s is None else min(whole, Fraction(self.end_s))


def mix(clips: Sequence[Clip], target: Path, *, salvage: bool, on_block: Callable[[], None] = lambda: None) -> None:
    """Add sounds up and write them as 24-bit FLAC in Matroska.

    The mix has the highest rate and the most channels of its sounds, and ends with the last `end_s` or sound. Where
    the sum would clip, all of it is made quieter.

    Args:
        clips: What is mixed, at least one.
        target: The file.
        salvage: Keep what decodes of damaged streams.
        on_block: Called now and then.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: A stream is damaged.
        StorageError: The disk is full.
    """
    peak = 1.0
    for block in _blocks(clips, salvage=salvage):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        on_block()
    rate_hz, layout = _shape(clips)
    try:
        with av.open(str(target), "w", format="matroska") as output:
            stream: AudioStream = output.add_stream("flac", rate=rate_hz, layout=layout, format="s32")  # type: ignore[assignment]  # an audio codec gives an audio stream
            done = 0
            for block in _blocks(clips, salvage=salvage):
                levels = np.rint(block.astype(np.float64) * (_FULL / peak)).astype(np.int32)
                packed = np.ascontiguousarray(levels.T).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(cast("Any", packed), format="s32", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate_hz, done, Fraction(1, rate_hz)
                done += block.shape[1]
                output.mux(stream.encode(frame))
                on_block()
            output.mux(stream.encode(None))
    except OSError as error:
        raise write_problem(target, error) from error


def _shape(clips: Sequence[Clip]) -> tuple[int, str]:
    """Return the rate and layout of a mix."""
    return max(clip.info.rate_hz for clip in clips), max(clips, key=lambda clip: clip.info.channels).info.layout


def _blocks(clips: Sequence[Clip], *, salvage: bool) -> Iterator[F32Array]:
    """Yield the sum in blocks of shape (channels, samples)."""
    rate_hz, layout = _shape(clips)
    channels = max(clip.info.channels for clip in clips)
    ends = [max(clip.stop_s, Fraction(clip.end_s or 0)) for clip in clips]
    total = round_half_up(max(ends) * rate_hz)
    voices = [_Voice(clip, rate_hz, layout, salvage=salvage) for clip in clips]
    for start in range(0, total, _BLOCK_SAMPLES):
        block = np.zeros((channels, min(_BLOCK_SAMPLES, total - start)), np.float32)
        for voice in voices:
            voice.add_to(block, start)
        yield block


class _Voice:
    """One sound of a mix; its file is open from its first block to its last."""

    def __init__(self, clip: Clip, rate_hz: int, layout: str, *, salvage: bool) -> None:
        self._clip = clip
        self._rate_hz = rate_hz
        self._layout = layout
        self._salvage = salvage
        self._place = round_half_up(Fraction(clip.start_s) * rate_hz)
        self._stop = round_half_up(clip.stop_s * rate_hz)
        self._pieces: Iterator[F32Array] | None = None
        self._rest: F32Array | None = None

    def add_to(self, block: F32Array, start: int) -> None:
        """Add what belongs to a block that begins at sample `start`; blocks come in order, each once."""
        end = min(self._stop, start + block.shape[1])
        while self._place < end:
            piece = self._next()
            if piece is None:
                self._stop = self._place
                return
            count = min(piece.shape[1], end - self._place)
            at = self._place - start
            block[:, at : at + count] += piece[:, :count]
            self._rest = piece[:, count:] if count < piece.shape[1] else None
            self._place += count

    def _next(self) -> F32Array | None:
        if self._rest is not None:
            return self._rest
        if self._pieces is None:
            self._pieces = self._decoded()
        return next(self._pieces, None)

    def _decoded(self) -> Iterator[F32Array]:
        info = self._clip.info
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate_hz)
        channels = len(av.AudioLayout(self._layout).channels)
        lead = round_half_up(info.lead_s * self._rate_hz)
        while lead > 0:
            yield np.zeros((channels, min(lead, _BLOCK_SAMPLES)), np.float32)
            lead -= _BLOCK_SAMPLES
        for frame in chain(self._frames(), [None]):
            for piece in resampler.resample(frame):
                samples = np.asarray(piece.to_ndarray(), np.float32)
                if not np.isfinite(samples).all():
                    raise AudioError("not_finite", str(info.path), "must hold finite samples", "NaN or infinity")
                if samples.shape[1]:
                    yield samples

    def _frames(self) -> Iterator[av.AudioFrame]:
        for frame in decode_audio(self._clip.info, salvage=self._salvage):
            frame.pts = None
            yield frame
