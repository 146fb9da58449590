"""Loudness of an audio stream, by EBU R 128."""

from __future__ import annotations

from dataclasses import dataclass

import av
import av.error
import numpy as np
from av.filter import Graph

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import reading
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples, frame_of

_KEYS = ("I", "LRA", "true_peak")
_STRETCHES_A_SECOND = 10  # of which the filter tells
_FLOOR_LUFS = -69.9  # the measure's gate is at -70


@dataclass(frozen=True, slots=True)
class Loudness:
    """Loudness of a whole audio stream; None where it is too short or silent to tell.

    Attributes:
        lufs: Integrated loudness.
        range_lu: Loudness range.
        peak: True peak; 1 is full scale. None where it was not measured.
    """

    lufs: float | None
    range_lu: float | None
    peak: float | None


class LoudnessMeter:
    """Measures what is pushed through it, with FFmpeg's `ebur128` filter.

    Args:
        rate_hz: Samples a second.
        layout: FFmpeg's name of the channels.
        with_peak: Measure the true peak too, which takes most of the time.
    """

    def __init__(self, rate_hz: int, layout: str, *, with_peak: bool = False) -> None:
        self._rate_hz, self._layout, self._with_peak = rate_hz, layout, with_peak
        self._graph = Graph()
        self._source = self._graph.add_abuffer(sample_rate=rate_hz, format="flt", layout=layout)
        meter = self._graph.add("ebur128", "metadata=1:peak=true" if with_peak else "metadata=1")
        sink = self._graph.add("abuffersink")
        self._source.link_to(meter)
        meter.link_to(sink)
        self._graph.configure()
        self._last: dict[str, str] = {}

    def push(self, samples: Samples) -> None:
        """Measure samples of shape (channels, N), float32."""
        self._graph.push(frame_of(samples, "flt", self._layout, self._rate_hz))
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            self._last = dict(frame.metadata) or self._last

    def result(self) -> Loudness:
        """Return the loudness of all that was pushed; nothing can be pushed any more."""
        lufs, range_lu, peak = self._measured()
        if self._with_peak:  # which is told of whole stretches only: what is loudest may come after the last
            self.push(
                np.zeros((len(channel_names(self._layout)), -(-self._rate_hz // _STRETCHES_A_SECOND)), np.float32)
            )
            peak = self._measured()[2]
        is_heard = lufs is not None and lufs > _FLOOR_LUFS
        return Loudness(lufs if is_heard else None, range_lu if is_heard else None, peak)

    def _measured(self) -> list[float | None]:
        return [float(self._last[key]) if (key := f"lavfi.r128.{name}") in self._last else None for name in _KEYS]


def loudness(info: AudioInfo) -> Loudness:
    """Measure an audio stream; streamed.

    Raises:
        MediaError: The stream is damaged.
    """
    with reading(info.path):
        meter = LoudnessMeter(info.rate_hz, info.layout, with_peak=True)
        for block in AudioReader(info).blocks(info.rate_hz, info.layout):
            meter.push(block)
        return meter.result()
