"""Audio made longer or shorter at its own pitch; streamed, never whole in memory.

By FFmpeg's `atempo`, which repeats or leaves out periods of a voice (WSOLA): no network, no package beside PyAV. On a
recorded sentence at factors from 0.8 to 1.25 its mel is as near to the original's as Signalsmith Stretch's and nearer
than that of a phase vocoder (librosa's), which smears consonants; it costs a tenth, and takes blocks. Rubber Band is
not in PyAV's FFmpeg, and its licence is the GPL.

Source: W. Verhelst, M. Roelands: An overlap-add technique based on waveform similarity (WSOLA) for high quality
time-scale modification of speech, ICASSP 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.filter import Graph

from lipwise_ray.media.audio import DecodedAudio
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.mix import AudioClip, mix_info
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples, frame_of, samples_of

METHOD = "atempo-20ms"
"""Names in ids how this module does it."""

_WINDOWS_A_SECOND = 24
"""`atempo` takes windows of a 24th of a second of the rate that it is told, rounded up to a power of two: so it is told
another rate. Windows of 43 ms put onsets up to 30 ms early."""

_LEAST_WINDOW_S = 0.02
"""Two periods of a low voice."""

_HELD_BACK = 3 / 16
"""Of a window, that what gets longer is held back by: the search for a like place prefers earlier ones then."""

_DITHER = np.float32(1e-6)
"""Amplitude of noise, 120 dB below full scale: of places that are all the same, as in digital silence, the search takes
the earliest, and all that follows would come early."""

_TAIL_WINDOWS = 8
"""Silence after the end, for the filter keeps the last windows back."""


def write_stretched(
    info: AudioInfo,
    sound: DecodedAudio,
    samples: int,
    target: Path,
    *,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> AudioInfo:
    """Make an audio stream longer or shorter at its own pitch, and write it as 24-bit FLAC in Matroska.

    Args:
        info: The audio stream.
        sound: Findings of decoding it.
        samples: Exact length of the result, at the stream's own rate.
        target: The file.
        salvage: Keep what decodes of a damaged stream.
        on_block: Called now and then.

    Returns:
        What was written.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: The stream is damaged.
        StorageError: The disk is full.
    """
    written, peak = mix_info([AudioClip(info, sound, 0.0, None)], target), 1.0

    def source() -> Iterator[Samples]:
        for block in AudioReader(info, salvage=salvage).blocks(written.rate_hz, written.layout):
            yield block
            on_block()

    for block in source():
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    blocks = stretched(source(), written.layout, written.rate_hz, sound.samples, samples)
    write_flac(target, written, blocks, peak=peak + float(_DITHER))
    return written


def stretched(
    blocks: Iterable[Samples], layout: str, rate_hz: int, source_samples: int, samples: int
) -> Iterator[Samples]:
    """Yield samples stretched to an exact length, in blocks of shape (channels, N).

    No time is off by more than half a window, however long it is.

    Args:
        blocks: Samples to be stretched, as float32 of shape (channels, N).
        layout: FFmpeg's name of the channels.
        rate_hz: Samples a second.
        source_samples: Number of them all.
        samples: Number wanted.
    """
    window = 1 << (round(rate_hz * _LEAST_WINDOW_S) - 1).bit_length()
    held = min(samples, round(window * _HELD_BACK)) if samples > source_samples else 0
    left = samples - held
    channels = av.AudioLayout(layout).nb_channels
    if held:
        yield np.zeros((channels, held), np.float32)
    for piece in _filtered(_padded(blocks, window, channels), layout, window, source_samples / samples):
        if not left:
            return
        fitted = piece[:, :left]
        left -= fitted.shape[1]
        yield fitted
    if left:
        yield np.zeros((channels, left), np.float32)


def _padded(blocks: Iterable[Samples], window: int, channels: int) -> Iterator[Samples]:
    """Yield samples with a little noise, and silence after them."""
    noise = np.random.default_rng(0)
    for block in blocks:
        yield block + _DITHER * noise.uniform(-1, 1, block.shape).astype(np.float32)
    yield _DITHER * noise.uniform(-1, 1, (channels, _TAIL_WINDOWS * window)).astype(np.float32)


def _filtered(blocks: Iterable[Samples], layout: str, window: int, tempo: float) -> Iterator[Samples]:
    """Yield samples played at another tempo by `atempo`.

    Args:
        blocks: The samples.
        layout: FFmpeg's name of the channels.
        window: Samples of a window, a power of two.
        tempo: Factor by which they are played faster.
    """
    told_hz, graph, sent = window * _WINDOWS_A_SECOND, Graph(), 0
    source = graph.add_abuffer(format="flt", sample_rate=told_hz, layout=layout, time_base=Fraction(1, told_hz))
    sink = graph.add("abuffersink")
    graph.link_nodes(source, graph.add("atempo", repr(tempo)), sink).configure()

    def ready() -> Iterator[Samples]:
        while True:
            try:
                piece = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(piece, av.AudioFrame)
            yield samples_of(piece)

    for block in blocks:
        frame = frame_of(np.asarray(block, np.float32), "flt", layout, told_hz)
        frame.pts, frame.time_base = sent, Fraction(1, told_hz)
        sent += block.shape[1]
        source.push(frame)
        yield from ready()
    source.push(None)
    yield from ready()
