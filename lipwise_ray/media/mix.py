"""Several audio clips as one, each at its place; streamed, never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.media.audio import DecodedAudio
from lipwise_ray.media.audio import mono as heard_as_mono
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples
from lipwise_ray.values import F32Array, round_half_up

_BLOCK_SAMPLES = 1 << 16
_MICROSECONDS = 1_000_000
_MOST_CHANNELS = 8  # that FLAC can hold


@dataclass(frozen=True, slots=True)
class AudioClip:
    """An audio stream and its place in a mix.

    Attributes:
        info: The audio stream.
        sound: Findings of decoding it: its exact length, and the mix that the networks hear.
        start_s: Time at which it begins.
        end_s: Time at which it is cut, None for its own end.
    """

    info: AudioInfo
    sound: DecodedAudio
    start_s: float
    end_s: float | None

    @property
    def begin_s(self) -> Fraction:
        """Time at which it begins, as it was written: a float's own fraction has too many digits for records."""
        return Fraction(self.start_s).limit_denominator(_MICROSECONDS)

    @property
    def stop_s(self) -> Fraction:
        """End of the clip in the mix."""
        whole = self.begin_s + self.sound.duration_s
        return whole if self.end_s is None else min(whole, Fraction(self.end_s).limit_denominator(_MICROSECONDS))


def mix_info(clips: Sequence[AudioClip], path: Path, *, mono: bool = False) -> AudioInfo:
    """Return the stream that `mix` writes: highest rate and most channels of its clips; stereo for over eight.

    Args:
        clips: Clips that are mixed.
        path: The file that `mix` writes.
        mono: One channel, as the networks hear each audio stream.
    """
    layout = max((clip.sound.layout for clip in clips), key=lambda layout: len(channel_names(layout)))
    layout = "mono" if mono else layout if len(channel_names(layout)) <= _MOST_CHANNELS else "stereo"
    rate_hz, channels = max(clip.sound.rate_hz for clip in clips), len(channel_names(layout))
    return AudioInfo(path, "matroska,webm", 0, "flac", rate_hz, channels, layout, Fraction(0))


def mix(
    clips: Sequence[AudioClip],
    target: Path,
    *,
    mono: bool = False,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> AudioInfo:
    """Add clips up and write them as 24-bit FLAC in Matroska.

    Each keeps its loudness; where the sum would clip, all of it is made quieter. One channel goes to both front ones.

    Args:
        clips: Clips to be mixed, at least one; the mix ends with the last of them.
        target: The file.
        mono: One channel, as the networks hear each audio stream.
        salvage: Keep what decodes of damaged streams.
        on_block: Called now and then.

    Returns:
        What was written.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: A stream is damaged.
        StorageError: The disk is full.
    """
    info, peak = mix_info(clips, target, mono=mono), 1.0
    for block in _blocks(clips, info, mono=mono, salvage=salvage):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        on_block()

    def summed() -> Iterator[F32Array]:
        for block in _blocks(clips, info, mono=mono, salvage=salvage):
            yield block
            on_block()

    write_flac(target, info, summed(), peak)
    return info


def _blocks(clips: Sequence[AudioClip], info: AudioInfo, *, mono: bool, salvage: bool) -> Iterator[F32Array]:
    """Yield the sum in blocks of shape (channels, samples)."""
    total = round_half_up(max(clip.stop_s for clip in clips) * info.rate_hz)
    voices = [_Voice(clip, info, mono=mono, salvage=salvage) for clip in clips]
    for start in range(0, total, _BLOCK_SAMPLES):
        block = np.zeros((info.channels, min(_BLOCK_SAMPLES, total - start)), np.float32)
        for voice in voices:
            voice.add_to(block, start)
        yield block


class _Voice:
    """One clip of a mix; its file is open from its first block to its last."""

    def __init__(self, clip: AudioClip, into: AudioInfo, *, mono: bool, salvage: bool) -> None:
        self._clip = clip
        self._rate_hz = into.rate_hz
        self._layout = into.layout
        self._mono = mono
        self._salvage = salvage
        self._place = round_half_up(clip.begin_s * into.rate_hz)
        self._stop = round_half_up(clip.stop_s * into.rate_hz)
        self._pieces: Generator[Samples] | None = None
        self._rest: Samples | None = None

    def add_to(self, block: F32Array, start: int) -> None:
        """Add what belongs to a block that begins at sample `start`; blocks come in order, each once."""
        end = min(self._stop, start + block.shape[1])
        while self._place < end:
            piece = self._next()
            if piece is None:
                self._stop = self._place
                break
            count = min(piece.shape[1], end - self._place)
            at = self._place - start
            block[:, at : at + count] += piece[:, :count]
            self._rest = piece[:, count:] if count < piece.shape[1] else None
            self._place += count
        if self._place >= self._stop and self._pieces is not None:
            self._pieces.close()

    def _next(self) -> Samples | None:
        if self._rest is not None:
            return self._rest
        if self._pieces is None:
            self._pieces = self._decoded()
        return next(self._pieces, None)

    def _decoded(self) -> Generator[Samples]:
        reader = AudioReader(self._clip.info, salvage=self._salvage)
        if self._mono:
            yield from heard_as_mono(reader, self._clip.sound.heard.mixes, self._rate_hz)
        else:
            yield from reader.blocks(self._rate_hz, self._layout)
