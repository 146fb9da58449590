"""Test clips: moving shapes, a frame number burnt in as blocks, a tone with a click every second."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.samples import frame_of
from lipwise_ray.values import F32Array, PixelArray, Rotation, Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CODE_BITS = 16
_CODE_BLOCKS = CODE_BITS + 2  # one black and one white block lead, as a reference for the reader
_DARK, _LIGHT = 40, 210


@dataclass(frozen=True, slots=True)
class ToneSpec:
    """The audio of a clip: a tone of `tone_hz` and a click at every full second."""

    seconds: float
    rate_hz: int = 48_000
    channels: int = 2
    codec: str = "aac"
    tone_hz: float = 330.0


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """Specification of a clip.

    Attributes:
        size: Stored frame.
        rate: Frames a second.
        frames: Number of frames.
        codec: Video encoder.
        pixel_format: FFmpeg name of a planar YUV format.
        options: Encoder options.
        gop: Key frame distance.
        times: Time stamps in ticks of `time_base` instead of a constant rate.
        time_base: Ticks of `times`.
        first_code: Number burnt into the first frame.
        full_range: 0-255 samples.
        colorspace: H.273 matrix number, 2 for unspecified.
        rotation: Degrees clockwise that a player rotates the frame.
        sample_aspect_ratio: Width of a pixel over its height.
        video_start_s: Time of the first frame.
        tone: The audio, None for a silent clip.
    """

    size: Size = field(default_factory=lambda: Size(320, 240))
    rate: Fraction = Fraction(25)
    frames: int = 50
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict[str, str])
    gop: int = 12
    times: tuple[int, ...] | None = None
    time_base: Fraction | None = None
    first_code: int = 0
    full_range: bool = False
    colorspace: int = 2
    rotation: Rotation = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    video_start_s: Fraction = Fraction(0)
    tone: ToneSpec | None = None


def _code_block(size: Size) -> tuple[int, int]:
    return max(2, size.width // (_CODE_BLOCKS + 2)), max(2, size.height // 10)


def draw_frame(spec: ClipSpec, number: int) -> VideoFrame:
    """Return frame `number` of a clip: gradient, a moving disc, and the burnt-in code."""
    shape = planar_format(spec.pixel_format.replace("yuvj", "yuv"))
    if shape is None:
        raise ValueError(spec.pixel_format)
    frame = av.VideoFrame(spec.size.width, spec.size.height, shape.name)
    unit = 1 << (shape.bits - 8)
    for plane in range(shape.planes):
        target = plane_array(frame, plane)
        rows = np.arange(target.shape[0], dtype=np.float32)[:, None] / target.shape[0]
        columns = np.arange(target.shape[1], dtype=np.float32)[None, :] / target.shape[1]
        phase = number * 0.13
        centre_x, centre_y = 0.5 + 0.2 * np.sin(phase), 0.6 + 0.1 * np.cos(phase)
        aspect = spec.size.width / spec.size.height
        disc = ((columns - centre_x) * aspect) ** 2 + (rows - centre_y) ** 2 < 0.15**2  # radius
        if plane == 0:
            image = 60 + 100 * (0.5 * rows + 0.5 * columns) + 50 * disc
        else:
            image = 128 + (30 if plane == 1 else -30) * (columns - rows) + 25 * disc
        np.copyto(target, (image * unit).astype(target.dtype))
    _burn(plane_array(frame, 0), spec.size, (spec.first_code + number) % (1 << CODE_BITS), unit)
    return frame


def _burn(luma: PixelArray, size: Size, code: int, unit: int) -> None:
    width, height = _code_block(size)
    bits = [0, 1, *((code >> bit) & 1 for bit in reversed(range(CODE_BITS)))]
    for place, bit in enumerate(bits):
        luma[0:height, (place + 1) * width : (place + 2) * width] = (_LIGHT if bit else _DARK) * unit


def read_code(luma: PixelArray) -> int:
    """Return the number burnt into an upright luma plane of an unscaled frame."""
    width, height = _code_block(Size(luma.shape[1], luma.shape[0]))
    inner_y = slice(height // 4, max(height // 4 + 1, height - height // 4))
    margin = width // 4
    levels = [
        float(luma[inner_y, (place + 1) * width + margin : (place + 2) * width - margin].mean())
        for place in range(_CODE_BLOCKS)
    ]
    middle = (levels[0] + levels[1]) / 2
    code = 0
    for level in levels[2:]:
        code = code * 2 + (level > middle)
    return code


def tone(spec: ToneSpec) -> F32Array:
    """Return the tone's samples, shape (channels, N): a gated tone, and a click at every full second."""
    count = max(0, round(spec.seconds * spec.rate_hz))
    t = np.arange(count) / spec.rate_hz
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 1.5 * t)
    wave = 0.2 * swell * np.sin(2 * np.pi * spec.tone_hz * t)
    wave[(t % 1.0) < 0.005] = 0.8  # a click of 5 ms
    return np.repeat(wave.astype(np.float32)[None, :], spec.channels, axis=0)


def write_clip(path: Path, spec: ClipSpec) -> None:
    """Write a clip; the container follows from the file name."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(spec.codec, rate=spec.rate, options=dict(spec.options)))
        context = stream.codec_context
        context.width, context.height = spec.size.width, spec.size.height
        context.pix_fmt = spec.pixel_format
        context.gop_size = spec.gop
        context.color_range = 2 if spec.full_range else 1
        context.colorspace = spec.colorspace
        context.sample_aspect_ratio = spec.sample_aspect_ratio
        time_base = spec.time_base or 1 / spec.rate
        context.time_base = time_base
        if spec.rotation:
            stream.set_display_rotation(-spec.rotation)
        sound = _Sound(container, spec.tone) if spec.tone else None
        start = round(spec.video_start_s / time_base)
        for number in range(spec.frames):
            frame = draw_frame(spec, number)
            frame.color_range = 2 if spec.full_range else 1
            frame.pts = start + (spec.times[number] if spec.times else number)
            frame.time_base = time_base
            if sound:
                sound.until(float(frame.pts * time_base))
            container.mux(stream.encode(frame))
        if sound:
            sound.until(None)
        container.mux(stream.encode(None))


def write_sound(path: Path, spec: ToneSpec) -> None:
    """Write the tone alone; the container follows from the file name."""
    with av.open(str(path), "w") as container:
        _Sound(container, spec).until(None)


class _Sound:
    """Encodes the tone piece by piece, in step with the frames."""

    def __init__(self, container: OutputContainer, spec: ToneSpec) -> None:
        self._container = container
        layouts = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
        self._layout = layouts[spec.channels]
        self._stream: AudioStream = container.add_stream(spec.codec, rate=spec.rate_hz)  # type: ignore[assignment]  # an audio codec gives an audio stream
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.open()
        self._rate_hz = spec.rate_hz
        self._samples = tone(spec)
        self._sent = 0
        context = self._stream.codec_context
        self._resampler = av.AudioResampler(
            context.format, context.layout, spec.rate_hz, frame_size=context.frame_size or None
        )

    def until(self, stop_s: float | None) -> None:
        """Encode up to this time; None for all that is left and the flush."""
        total = self._samples.shape[1]
        stop = total if stop_s is None else min(total, int(stop_s * self._rate_hz))
        if stop > self._sent:
            frame = frame_of(self._samples[:, self._sent : stop], "flt", self._layout, self._rate_hz)
            frame.pts, frame.time_base = self._sent, Fraction(1, self._rate_hz)
            self._sent = stop
            self._encode(self._resampler.resample(frame))
        if stop_s is None:
            self._encode(self._resampler.resample(None))
            self._container.mux(self._stream.encode(None))

    def _encode(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            self._container.mux(self._stream.encode(frame))


def codes(frames: Iterator[VideoFrame]) -> list[int]:
    """Return the numbers burnt into frames."""
    return [read_code(plane_array(frame, 0)) for frame in frames]
