"""Some seconds of an audio stream, cut out to the sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.mix import stream_of
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples
from lipwise_ray.values import round_half_up


def write_excerpt(
    info: AudioInfo,
    target: Path,
    start_s: Fraction,
    length_s: Fraction,
    *,
    salvage: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> AudioInfo:
    """Write a part of an audio stream as 24-bit FLAC in Matroska; silence takes the place of what it does not have.

    Args:
        info: The stream.
        target: The file.
        start_s: Where the part begins.
        length_s: Its length.
        salvage: Keep what decodes of a damaged stream.
        on_block: Called now and then, also while what lies before the part is decoded.

    Returns:
        What was written.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: The stream is damaged.
        StorageError: The disk is full.
    """
    written = stream_of([(info.rate_hz, info.layout)], target)
    first = round_half_up(start_s * written.rate_hz)
    count = max(1, math.ceil(length_s * written.rate_hz))

    def part() -> Iterator[Samples]:
        read = 0
        for block in AudioReader(info, salvage=salvage).blocks(written.rate_hz, written.layout):
            on_block()
            piece = block[:, max(0, first - read) : first + count - read]
            read += block.shape[1]
            if piece.shape[1]:
                yield np.clip(piece, -1, 1)
            if read >= first + count:
                return
        missing = count - min(count, max(0, read - first))
        if missing:
            yield np.zeros((written.channels, missing), np.float32)

    write_flac(target, written, part(), on_block=on_block)
    return written
