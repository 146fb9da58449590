"""Several audio clips as one, each at its place; streamed, never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from lipwise_ray.media.audio import NETWORK_RATE_HZ, DecodedAudio
from lipwise_ray.media.audio import mono as heard_as_mono
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.gain_curve import GainCurve
from lipwise_ray.media.loudness import LoudnessMeter
from lipwise_ray.media.network_mix import MONO, NetworkMix
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


def mix_info(clips: Sequence[AudioClip], path: Path) -> AudioInfo:
    """Return the stream that `mix` writes: highest rate and most channels of its clips; stereo for over eight.

    Args:
        clips: Clips that are mixed.
        path: The file that `mix` writes.
    """
    return stream_of([(clip.sound.rate_hz, clip.sound.layout) for clip in clips], path)


def stream_of(sounds: Sequence[tuple[int, str]], path: Path) -> AudioInfo:
    """Return the stream that a sum is written as: highest rate and most channels; stereo for over eight.

    Args:
        sounds: Rate and layout of each sound.
        path: The file.
    """
    layout = max((layout for _, layout in sounds), key=lambda layout: len(channel_names(layout)))
    layout = layout if len(channel_names(layout)) <= _MOST_CHANNELS else "stereo"
    rate_hz, channels = max(rate_hz for rate_hz, _ in sounds), len(channel_names(layout))
    return AudioInfo(path, "matroska,webm", 0, "flac", rate_hz, channels, layout, Fraction(0))


def mix(
    clips: Sequence[AudioClip],
    target: Path,
    *,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> AudioInfo:
    """Add clips up and write them as 24-bit FLAC in Matroska.

    Each keeps its loudness; where the sum would clip, all of it is made quieter. One channel goes to both front ones.

    Args:
        clips: Clips to be mixed, at least one; the mix ends with the last of them.
        target: The file.
        salvage: Keep what decodes of damaged streams.
        on_block: Called now and then.

    Returns:
        What was written.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: A stream is damaged.
        StorageError: The disk is full.
    """
    info, peak = mix_info(clips, target), 1.0

    def decoded(clip: AudioClip) -> Generator[Samples]:
        yield from AudioReader(clip.info, salvage=salvage).blocks(info.rate_hz, info.layout)

    for block in _blocks(clips, info.rate_hz, info.channels, decoded):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        on_block()
    write_flac(target, info, _blocks(clips, info.rate_hz, info.channels, decoded), peak=peak, on_block=on_block)
    return info


def write_line(
    clips: Sequence[AudioClip],
    own: Path,
    levelled: Path,
    *,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> DecodedAudio:
    """Add clips up as the networks hear them, mono at 16 kHz, and write the raw float32 samples to two files.

    A sample is decided by the clips that are heard there: each is decoded, resampled and made louder by itself.

    Args:
        clips: Clips of one face, at least one; the line ends with the last of them.
        own: File for the sum of the clips as loud as they are.
        levelled: File for the sum of the clips, each as loud as the networks hear it alone.
        salvage: Keep what decodes of damaged streams.
        on_block: Called now and then.

    Returns:
        The line: its loudness is that of the whole, at the clips' own levels.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: A stream is damaged.
        StorageError: The disk is full.
    """

    def decoded(clip: AudioClip) -> Generator[Samples]:
        gain = np.float32(clip.sound.heard.gain)
        reader = AudioReader(clip.info, salvage=salvage)
        for piece in heard_as_mono(reader, clip.sound.heard.mixes, NETWORK_RATE_HZ):
            yield np.concatenate([piece, gain * piece])

    meter, samples = LoudnessMeter(NETWORK_RATE_HZ, "mono"), 0
    try:
        with own.open("wb") as as_it_is, levelled.open("wb") as as_heard:
            for block in _blocks(clips, NETWORK_RATE_HZ, 2, decoded):
                meter.push(block[:1])
                as_it_is.write(block[0].tobytes())
                as_heard.write(block[1].tobytes())
                samples += block.shape[1]
                on_block()
    except OSError as error:
        raise write_problem(own, error) from error
    return DecodedAudio(samples, NETWORK_RATE_HZ, "mono", NetworkMix({"mono": MONO}, meter.result().lufs))


def _blocks(
    clips: Sequence[AudioClip], rate_hz: int, channels: int, decoded: Callable[[AudioClip], Generator[Samples]]
) -> Iterator[F32Array]:
    """Yield the sum of clips in blocks of shape (channels, samples).

    Args:
        clips: Clips that are added up.
        rate_hz: Samples a second.
        channels: Of the sum.
        decoded: Gives a clip's samples at that rate, in blocks of that many channels.
    """
    parts = [
        PlacedSound(partial(decoded, clip), round_half_up(clip.begin_s * rate_hz), round_half_up(clip.stop_s * rate_hz))
        for clip in clips
    ]
    return summed(parts, channels, max(1, round_half_up(max(clip.stop_s for clip in clips) * rate_hz)))


def summed(parts: Sequence[PlacedSound], channels: int, samples: int) -> Iterator[F32Array]:
    """Yield the sum of sounds in blocks of shape (channels, samples).

    Args:
        parts: Sounds of the sum's rate and channels.
        channels: Of the sum.
        samples: Length of the sum.
    """
    for start in range(0, samples, _BLOCK_SAMPLES):
        block = np.zeros((channels, min(_BLOCK_SAMPLES, samples - start)), np.float32)
        for part in parts:
            part.add_to(block, start)
        yield block


class PlacedSound:
    """One sound of a sum; its file is open from its first block to its last.

    Args:
        decode: Yields its samples in the rate and channels of the sum, in blocks of shape (channels, N).
        start: Sample of the sum at which it begins.
        stop: Sample at which it is cut.
        gain: Its gain, on the clock of the sum; None leaves it as loud as it is.
    """

    def __init__(
        self, decode: Callable[[], Generator[Samples]], start: int, stop: int, gain: GainCurve | None = None
    ) -> None:
        self._decode = decode
        self._place = start
        self._stop = stop
        self._gain = gain
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
            part = piece[:, :count]
            block[:, at : at + count] += part if self._gain is None else part * self._gain.factors(self._place, count)
            self._rest = piece[:, count:] if count < piece.shape[1] else None
            self._place += count
        if self._place >= self._stop and self._pieces is not None:
            self._pieces.close()

    def _next(self) -> Samples | None:
        if self._rest is not None:
            return self._rest
        if self._pieces is None:
            self._pieces = self._decode()
        return next(self._pieces, None)
