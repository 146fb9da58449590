"""Audio that was made here, kept without loss until it is delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from lipwise_ray.media.container import write_problem
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples, frame_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

_FULL = (1 << 31) - 1


def write_flac(
    target: Path,
    info: AudioInfo,
    blocks: Iterable[Samples],
    *,
    peak: float = 1.0,
    on_block: Callable[[], None] = lambda: None,
) -> None:
    """Write samples as 24-bit FLAC in Matroska.

    Args:
        target: The file.
        info: Rate and channels.
        blocks: The samples, of shape (channels, N).
        peak: Level that becomes full scale, at least their largest.
        on_block: Called now and then.

    Raises:
        StorageError: The disk is full.
    """
    try:
        with av.open(str(target), "w", format="matroska") as output:
            stream: AudioStream = output.add_stream("flac", rate=info.rate_hz, layout=info.layout, format="s32")  # type: ignore[assignment]  # an audio codec gives an audio stream
            done = 0
            for block in blocks:
                levels = np.rint(block.astype(np.float64) * (_FULL / peak)).astype(np.int32)
                frame = frame_of(levels, "s32", info.layout, info.rate_hz)
                frame.pts, frame.time_base = done, Fraction(1, info.rate_hz)
                done += block.shape[1]
                output.mux(stream.encode(frame))
                on_block()
            output.mux(stream.encode(None))
    except OSError as error:
        raise write_problem(target, error) from error
