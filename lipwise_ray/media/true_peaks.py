"""Limiting of true peaks: those of the wave between its samples too (ITU-R BS.1770-4, annex 2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av.error
from av.filter import Graph

from lipwise_ray.media.samples import frame_of, samples_of
from lipwise_ray.values import F32Array

_OVERSAMPLING = 4
"""Samples between which a peak is sought. Source: BS.1770-4 asks for 192 kHz, four times 48 kHz."""

_ATTACK_MS, _RELEASE_MS = 5, 50
"""Source: the defaults of FFmpeg's `alimiter`, which looks ahead as long as its attack."""


def limited(
    blocks: Iterator[F32Array], rate_hz: int, layout: str, *, gain: float, ceiling: float
) -> Iterator[F32Array]:
    """Yield samples, made louder and with their true peaks limited: all channels by the same factor.

    FFmpeg's `alimiter` on four times as many samples. As many come out as go in, each at its place.

    Args:
        blocks: Samples in blocks of shape (channels, N).
        rate_hz: Samples a second.
        layout: FFmpeg's name of the channels.
        gain: Factor before the limiter.
        ceiling: The largest peak, 1 for full scale, at least 0.0625.
    """
    graph = Graph()
    source = graph.add_abuffer(sample_rate=rate_hz, format="flt", layout=layout)
    filters = (
        ("aresample", str(rate_hz * _OVERSAMPLING)),
        ("alimiter", f"limit={ceiling}:attack={_ATTACK_MS}:release={_RELEASE_MS}:level=disabled:latency=1"),
        ("aresample", str(rate_hz)),
        ("aformat", f"sample_fmts=flt:channel_layouts={layout}"),
    )
    last = source
    for name, options in filters:
        following = graph.add(name, options)
        last.link_to(following)
        last = following
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    left = 0
    for block in chain(blocks, [None]):
        left += 0 if block is None else block.shape[1]
        graph.push(None if block is None else frame_of(block * gain, "flt", layout, rate_hz))
        while True:
            try:
                piece = samples_of(graph.pull())[:, :left]  # type: ignore[arg-type]  # an audio graph gives audio
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            left -= piece.shape[1]
            yield piece
