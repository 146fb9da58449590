"""How loud a sound is, by EBU R 128."""

from __future__ import annotations

from dataclasses import dataclass

import av
import av.error
from av.filter import Graph

from lipwise_ray.media.audio import decode_audio
from lipwise_ray.media.container import reading
from lipwise_ray.media.probe import AudioInfo

_KEYS = ("I", "LRA", "true_peak")
_FLOOR_LUFS = -69.9  # the measure's gate is at -70


@dataclass(frozen=True, slots=True)
class Loudness:
    """Loudness of a whole sound; None where it is too short or silent to tell.

    Attributes:
        lufs: Integrated loudness.
        range_lu: Loudness range.
        peak: True peak; 1 is full scale.
    """

    lufs: float | None
    range_lu: float | None
    peak: float | None


def loudness(info: AudioInfo) -> Loudness:
    """Measure a sound with FFmpeg's `ebur128` filter; streamed.

    Raises:
        MediaError: The stream is damaged.
    """
    with reading(info.path):
        return _measured(info)


def _measured(info: AudioInfo) -> Loudness:
    graph = Graph()
    source = graph.add_abuffer(sample_rate=info.rate_hz, format="flt", layout=info.layout)
    meter, sink = graph.add("ebur128", "metadata=1:peak=true"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    resampler = av.AudioResampler(format="flt", layout=info.layout, rate=info.rate_hz)
    last: dict[str, str] = {}
    for frame in decode_audio(info):
        frame.pts = None
        for piece in resampler.resample(frame):
            graph.push(piece)
            last = _taken(graph) or last
    values = [float(last[key]) if (key := f"lavfi.r128.{name}") in last else None for name in _KEYS]
    lufs, range_lu, peak = values
    is_heard = lufs is not None and lufs > _FLOOR_LUFS
    return Loudness(lufs if is_heard else None, range_lu if is_heard else None, peak)


def _taken(graph: Graph) -> dict[str, str]:
    """Return the metadata of the last frame that is ready."""
    last: dict[str, str] = {}
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return last
        last = dict(frame.metadata) or last
