"""Encoding a segment: frames of one format to a Matroska file of one video stream."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import av
import av.error
import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.pixels import PixelFormat, plane_array
from lipwise_ray.values import ColorTags, Size

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CODECS = ("libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc", "ffv1")
_DEFAULT_QUALITY = {"libx264": 16, "libx265": 18, "libsvtav1": 24, "h264_nvenc": 18, "hevc_nvenc": 20}
_SVT_PRESETS = {"ultrafast": 10, "superfast": 10, "veryfast": 9, "faster": 9, "fast": 8, "medium": 7, "slow": 5}
_NVENC_PRESETS = {"ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3", "fast": "p4", "medium": "p5"}


@dataclass(frozen=True, slots=True)
class EncodeSpec:
    """How the frames of a job are encoded; the same for all its segments.

    Attributes:
        codec: An encoder's FFmpeg name, one of `CODECS`.
        quality: Constant rate factor (or cq of nvenc); None for the encoder's usual value.
        preset: Speed preset in x264's words.
        keyframe_frames: Longest distance between key frames.
        pixel_format: FFmpeg name of the encoded format.
        size: Stored picture; odd sizes are padded by one pixel where the codec needs even ones.
        rate: Nominal frames a second, for rate control.
        time_base: Ticks of the time stamps given to `write`.
        color: Colour description that is written into the stream.
        sample_aspect_ratio: Width of a pixel over its height.
        threads: Encoder threads.
    """

    codec: str
    quality: int | None
    preset: str
    keyframe_frames: int
    pixel_format: str
    size: Size
    rate: Fraction
    time_base: Fraction
    color: ColorTags
    sample_aspect_ratio: Fraction
    threads: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment file.

    ``reorder`` is how many packets a picture is coded ahead of its turn, at most.
    """

    frames: int
    reorder: int
    bytes_total: int
    sha256: str


def encoded_size(size: Size, codec: str, pixel_format: PixelFormat) -> Size:
    """Return the size after padding to what the codec can carry."""
    if codec == "ffv1":
        return size
    step_x = 2 if codec == "libsvtav1" else 1 << pixel_format.shift_x
    step_y = 2 if codec == "libsvtav1" else 1 << pixel_format.shift_y
    return Size(-(-size.width // step_x) * step_x, -(-size.height // step_y) * step_y)


def encoder_formats(codec: str) -> set[str]:
    """Return the pixel formats that an encoder of this build takes; empty when it is not there."""
    try:
        return {f.name for f in av.Codec(codec, "w").video_formats or []}
    except (av.error.FFmpegError, ValueError):
        return set()


def _options(spec: EncodeSpec) -> dict[str, str]:
    quality = spec.quality if spec.quality is not None else _DEFAULT_QUALITY.get(spec.codec, 0)
    if spec.codec == "libx264":
        return {"crf": str(quality), "preset": spec.preset}
    if spec.codec == "libx265":
        params = f"log-level=error:pools={spec.threads or '*'}:frame-threads=1"
        return {"crf": str(quality), "preset": spec.preset, "x265-params": params}
    if spec.codec == "libsvtav1":
        preset = _SVT_PRESETS.get(spec.preset, spec.preset)
        return {"crf": str(quality), "preset": str(preset), "svtav1-params": f"lp={spec.threads or 0}"}
    if spec.codec.endswith("_nvenc"):
        return {"rc": "vbr", "cq": str(quality), "preset": _NVENC_PRESETS.get(spec.preset, spec.preset)}
    # Version 3 with slices and checksums; every frame a key frame.
    return {"level": "3", "slices": "4", "slicecrc": "1"}


class SegmentWriter:
    """Encodes frames to a file as they come.

    Args:
        path: The file; overwritten.
        spec: How to encode.

    Raises:
        SettingsError: The encoder does not open with these settings.
        StorageError: The disk is full.
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, spec: EncodeSpec) -> None:
        self._path = path
        self._spec = spec
        self._frames = 0
        self._order: list[int] = []
        try:
            self._container = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
        except OSError as error:
            raise write_problem(path, error) from error
        try:
            self._stream = cast(
                "VideoStream", self._container.add_stream(spec.codec, rate=spec.rate, options=_options(spec))
            )
            _configure(self._stream.codec_context, spec)
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            with contextlib.suppress(av.error.FFmpegError):
                self._container.close()
            raise _refused(spec, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # After a failure the trailer cannot be written either; the first error is the one to tell.
            with contextlib.suppress(av.error.FFmpegError):
                self._container.close()

    def write(self, frame: VideoFrame, pts: int) -> None:
        """Encode one frame.

        Args:
            frame: A frame of the working size in planar YUV; it is padded or converted when needed.
            pts: Its time in ticks of the spec's time base, larger than the one before.
        """
        ready = self._fitted(frame)
        ready.pts = pts
        ready.time_base = self._spec.time_base
        ready.pict_type = 0  # the encoder decides; a decoded frame carries its old type
        self._mux(self._stream.encode(ready))
        self._frames += 1

    def finish(self) -> Segment:
        """Flush the encoder, close the file and return what it holds."""
        self._mux(self._stream.encode(None))
        try:
            self._container.close()
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise write_problem(self._path, error) from error
        rank = np.argsort(np.argsort(self._order, kind="stable"), kind="stable")
        reorder = int((np.arange(len(rank)) - rank).max(initial=0))
        return Segment(self._frames, reorder, self._path.stat().st_size, digest.hexdigest())

    def _mux(self, packets: list[Packet[Any]]) -> None:
        try:
            for packet in packets:
                self._order.append(packet.pts or 0)
                self._container.mux_one(packet)
        except OSError as error:
            raise write_problem(self._path, error) from error

    def _fitted(self, frame: VideoFrame) -> VideoFrame:
        spec = self._spec
        if frame.format.name != spec.pixel_format.replace("yuvj", "yuv"):
            frame = frame.reformat(format=spec.pixel_format)
        if (frame.width, frame.height) != (spec.size.width, spec.size.height):
            frame = _padded(frame, spec.size)
        frame.color_range = 2 if spec.color.full_range else 1
        frame.colorspace = spec.color.matrix
        frame.color_primaries = spec.color.primaries
        frame.color_trc = spec.color.transfer
        return frame


def check_encoder(spec: EncodeSpec) -> None:
    """Open an encoder once, without a file.

    Raises:
        SettingsError: It does not open with these settings.
    """
    try:
        context = cast("VideoCodecContext", av.CodecContext.create(spec.codec, "w"))
        context.options = _options(spec)
        _configure(context, spec)
    except (av.error.FFmpegError, ValueError) as error:
        raise _refused(spec, error) from error


def _configure(context: VideoCodecContext, spec: EncodeSpec) -> None:
    context.width, context.height = spec.size.width, spec.size.height
    context.pix_fmt = spec.pixel_format
    context.time_base = spec.time_base
    context.framerate = spec.rate
    context.gop_size = 1 if spec.codec == "ffv1" else spec.keyframe_frames
    context.thread_count = spec.threads
    context.sample_aspect_ratio = spec.sample_aspect_ratio
    context.color_range = 2 if spec.color.full_range else 1
    context.colorspace = spec.color.matrix
    context.color_primaries = spec.color.primaries
    context.color_trc = spec.color.transfer
    context.open(strict=False)


def _refused(spec: EncodeSpec, error: Exception) -> SettingsError:
    return SettingsError(
        "encoder",
        f"encode.codec = {spec.codec}",
        f"must encode {spec.pixel_format} at {spec.size.width}x{spec.size.height} with preset {spec.preset}",
        str(error),
        "Change the settings of encode; `lipwise-ray doctor` lists the encoders",
    )


def _padded(frame: VideoFrame, size: Size) -> VideoFrame:
    """Return a copy with the last column and row repeated up to `size`."""
    fresh = av.VideoFrame(size.width, size.height, frame.format.name)
    for plane in range(len(frame.planes)):
        old, new = plane_array(frame, plane), plane_array(fresh, plane)
        rows = np.minimum(np.arange(new.shape[0]), old.shape[0] - 1)
        columns = np.minimum(np.arange(new.shape[1]), old.shape[1] - 1)
        np.copyto(new, old[np.ix_(rows, columns)])
    return fresh
