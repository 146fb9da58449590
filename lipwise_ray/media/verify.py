"""Checking a finished file by decoding all of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av.error
import numpy as np

from lipwise_ray.errors import MediaError, SegmentError
from lipwise_ray.media.container import open_input
from lipwise_ray.media.join import Timeline
from lipwise_ray.media.probe import audio_stream, video_stream

_MATROSKA_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a finished file. ``audio_s`` is None for a file without sound."""

    frames: int
    video_s: float
    audio_s: float | None


def verify(path: Path, timeline: Timeline, audio_s: Fraction | None, *, threads: int = 0) -> Verdict:
    """Decode a file to its end and compare it with the plan.

    Args:
        path: The finished file.
        timeline: When each frame must be shown.
        audio_s: Length the sound must have, None for a file without sound.
        threads: Decoder threads, 0 for FFmpeg's choice.

    Raises:
        SegmentError: A frame is missing, late or damaged, or the sound has another length.
    """
    try:
        seen = _decode(path, with_sound=audio_s is not None, threads=threads)
    except (av.error.FFmpegError, MediaError) as error:
        raise _wrong(path, "must decode to its end", str(error)) from error
    times = seen.times
    expected = (timeline.pts - timeline.pts[0]) * float(timeline.time_base)
    if len(times) != len(expected):
        raise _wrong(path, f"must hold {len(expected)} frames", str(len(times)))
    off_s = float(np.abs(np.array(times) - expected).max())
    if off_s > _MATROSKA_TICK_S:
        raise _wrong(path, "must show every frame at its planned time", f"{off_s:.4f} s off")
    heard_s = None
    if audio_s is not None:
        heard_s = seen.samples / seen.rate_hz
        slack_s = 1024 / seen.rate_hz + _MATROSKA_TICK_S  # the last AAC frame may be padded
        if abs(heard_s - float(audio_s)) > slack_s or abs(seen.sound_start_s) > slack_s:
            raise _wrong(path, f"must hold {float(audio_s):.3f} s of sound", f"{heard_s:.3f} s")
    return Verdict(len(times), float(timeline.duration_s), heard_s)


@dataclass(slots=True)
class _Seen:
    """What decoding gave."""

    times: list[float]
    samples: int = 0
    rate_hz: int = 1
    sound_start_s: float = 0.0


def _decode(path: Path, *, with_sound: bool, threads: int) -> _Seen:
    seen = _Seen([])
    with open_input(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None or (audio is not None) != with_sound:
            raise _wrong(path, "must hold the planned streams", "others")
        video.thread_type = "AUTO"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        video.codec_context.thread_count = threads
        tick_s = float(cast("Fraction", video.time_base))
        for packet in container.demux([video] if audio is None else [video, audio]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    if frame.is_corrupt or frame.pts is None:
                        raise _wrong(path, "must decode without damage", f"a damaged frame {len(seen.times)}")
                    seen.times.append(frame.pts * tick_s)
                elif isinstance(frame, av.AudioFrame):
                    if not seen.samples:
                        seen.sound_start_s = float(frame.time or 0.0)
                    seen.samples += frame.samples
                    seen.rate_hz = frame.sample_rate
    return seen


def _wrong(path: Path, must: str, got: str) -> SegmentError:
    return SegmentError("verify", str(path), must, got, "Run the same command again")
