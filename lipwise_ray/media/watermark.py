"""Audio with a mark that is not heard: made at the network's rate, added at the audio's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr

from lipwise_ray.media.audio import NETWORK_RATE_HZ
from lipwise_ray.media.audio import mono as heard_as_mono
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.mix import stream_of
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.values import F32Array


class AudioMarker(Protocol):
    """Makes the marks of audio at 16 kHz."""

    def marks(self, wave: Iterable[F32Array], message: int, on_window: Callable[[], None]) -> Iterator[F32Array]:
        """Yield the mark of a mono wave in blocks of shape (N,), as long as the wave."""
        ...


@dataclass(frozen=True, slots=True)
class HiddenMark:
    """Mark that audio gets.

    Attributes:
        marker: Makes it.
        message: Its message, from 0 to 65535.
        strength: Factor by which it is made stronger or weaker.
    """

    marker: AudioMarker
    message: int
    strength: float


@dataclass(frozen=True, slots=True)
class MarkedAudio:
    """Audio with a mark, as a file that holds it.

    Attributes:
        info: Its stream.
        snr_db: Power of the audio over that of what was added, in dB; None where nothing was.
    """

    info: AudioInfo
    snr_db: float | None


def write_marked(
    info: AudioInfo,
    mixes: Mapping[str, str],
    target: Path,
    mark: HiddenMark,
    *,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> MarkedAudio:
    """Mark an audio stream and write it as 24-bit FLAC in Matroska, sample for sample as long as it is.

    All channels get the same mark. Samples that would pass full scale are clipped.

    Args:
        info: The audio stream.
        mixes: Mixes to mono, by layout, of which the mark is made.
        target: The file.
        mark: The mark.
        salvage: Keep what decodes of a damaged stream.
        on_block: Called now and then.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: The stream is damaged.
        StorageError: The disk is full.
    """
    written = stream_of([(info.rate_hz, info.layout)], target)
    powers = np.zeros(2)
    wave = (block[0] for block in heard_as_mono(AudioReader(info, salvage=salvage), mixes, NETWORK_RATE_HZ))
    marks = _Feed(_at_rate(mark.marker.marks(wave, mark.message, on_block), written.rate_hz))

    def marked() -> Iterator[F32Array]:
        for block in AudioReader(info, salvage=salvage).blocks(written.rate_hz, written.layout):
            clean = np.clip(block, -1, 1).astype(np.float32)
            added = np.float32(mark.strength) * marks.take(block.shape[1])
            both = np.clip(clean + added, -1, 1).astype(np.float32)
            powers[:] += np.square(clean, dtype=np.float64).sum(), np.square(both - clean, dtype=np.float64).sum()
            yield both

    write_flac(target, written, marked(), on_block=on_block)
    audio_power, mark_power = powers.tolist()
    has_both = audio_power > 0 and mark_power > 0
    return MarkedAudio(written, 10 * math.log10(audio_power / mark_power) if has_both else None)


def marked_wave(info: AudioInfo) -> Iterator[F32Array]:
    """Yield an audio stream as a detector hears it, mono at 16 kHz, in blocks of shape (N,).

    All channels have the same mark, so they are added up, whatever the speech does.

    Args:
        info: The audio stream.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: The stream is damaged.
    """
    for block in AudioReader(info).blocks(NETWORK_RATE_HZ, "mono"):
        yield block[0]


def _at_rate(blocks: Iterator[F32Array], rate_hz: int) -> Iterator[F32Array]:
    """Yield mono samples at another rate than the network's."""
    if rate_hz == NETWORK_RATE_HZ:
        yield from blocks
        return
    stream = soxr.ResampleStream(NETWORK_RATE_HZ, rate_hz, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


class _Feed:
    """Samples that are asked for in other numbers than they come in; zeros follow the last."""

    def __init__(self, blocks: Iterator[F32Array]) -> None:
        self._blocks, self._held = blocks, np.zeros(0, np.float32)

    def take(self, count: int) -> F32Array:
        while len(self._held) < count and (block := next(self._blocks, None)) is not None:
            self._held = np.concatenate([self._held, block])
        taken, self._held = self._held[:count], self._held[count:]
        return np.pad(taken, (0, count - len(taken)))
