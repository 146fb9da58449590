"""Several audio clips as one, each at its place; streamed, never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from lipwise_ray.media.audio import NETWORK_RATE_HZ, DecodedAudio
from lipwise_ray.media.audio import mono as heard_as_mono
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.loudness import LoudnessMeter
from lipwise_ray.media.network_mix import MONO, NetworkMix
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples, frame_of
from lipwise_ray.values import F32Array, round_half_up

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

_BLOCK_SAMPLES = 1 << 16
_FULL = (1 << 31) - 1
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
    def stop_s(self) -> Fraction:
        """End of the clip in the mix."""
        whole = Fraction(self.start_s) + self.sound.duration_s
        return whole if self.end_s is None else min(whole, Fraction(self.end_s))


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

    def decoded(clip: AudioClip) -> Generator[Samples]:
        reader = AudioReader(clip.info, salvage=salvage)
        if mono:
            yield from heard_as_mono(reader, clip.sound.heard.mixes, info.rate_hz)
        else:
            yield from reader.blocks(info.rate_hz, info.layout)

    for block in _blocks(clips, info.rate_hz, info.channels, decoded):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        on_block()
    try:
        with av.open(str(target), "w", format="matroska") as output:
            stream: AudioStream = output.add_stream("flac", rate=info.rate_hz, layout=info.layout, format="s32")  # type: ignore[assignment]  # an audio codec gives an audio stream
            done = 0
            for block in _blocks(clips, info.rate_hz, info.channels, decoded):
                levels = np.rint(block.astype(np.float64) * (_FULL / peak)).astype(np.int32)
                frame = frame_of(levels, "s32", info.layout, info.rate_hz)
                frame.pts, frame.time_base = done, Fraction(1, info.rate_hz)
                done += block.shape[1]
                output.mux(stream.encode(frame))
                on_block()
            output.mux(stream.encode(None))
    except OSError as error:
        raise write_problem(target, error) from error
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
    """Yield the sum in blocks of shape (channels, samples).

    Args:
        clips: Clips that are added up.
        rate_hz: Samples a second.
        channels: Of the sum.
        decoded: Gives a clip's samples at that rate, in blocks of that many channels.
    """
    total = max(1, round_half_up(max(clip.stop_s for clip in clips) * rate_hz))
    voices = [_Voice(clip, rate_hz, decoded(clip)) for clip in clips]
    for start in range(0, total, _BLOCK_SAMPLES):
        block = np.zeros((channels, min(_BLOCK_SAMPLES, total - start)), np.float32)
        for voice in voices:
            voice.add_to(block, start)
        yield block


class _Voice:
    """One clip of a mix; its file is open from its first block to its last."""

    def __init__(self, clip: AudioClip, rate_hz: int, pieces: Generator[Samples]) -> None:
        self._place = round_half_up(Fraction(clip.start_s) * rate_hz)
        self._stop = round_half_up(clip.stop_s * rate_hz)
        self._pieces = pieces
        self._rest: Samples | None = None

    def add_to(self, block: F32Array, start: int) -> None:
        """Add what belongs to a block that begins at sample `start`; blocks come in order, each once."""
        end = min(self._stop, start + block.shape[1])
        while self._place < end:
            piece = self._rest if self._rest is not None else next(self._pieces, None)
            if piece is None:
                self._stop = self._place
                break
            count = min(piece.shape[1], end - self._place)
            at = self._place - start
            block[:, at : at + count] += piece[:, :count]
            self._rest = piece[:, count:] if count < piece.shape[1] else None
            self._place += count
        if self._place >= self._stop:
            self._pieces.close()
