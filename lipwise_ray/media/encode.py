"""Encoders: their parameters, which of them open here, and how they are opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import av.error
from av.codec.context import Flags

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.fields import AV_FIELD_ORDER, FieldOrder
from lipwise_ray.media.hdr import NO_HDR, Hdr, decimals, steps
from lipwise_ray.media.pixels import PixelFormat, planar_format
from lipwise_ray.processor import processor_flags
from lipwise_ray.values import ColorTags, Size

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

ENCODER_REFUSED = "encoder"
"""Code of an encoder that does not open."""

CODECS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "h264_nvenc", "hevc_nvenc", "prores_ks", "ffv1")
HARDWARE_CODECS = ("h264_nvenc", "hevc_nvenc")
ALPHA_CODECS = ("ffv1", "prores_ks", "libvpx-vp9")
INTERLACED_CODECS = ("libx264", "prores_ks", "ffv1")
HDR_CODECS = ("libx264", "libx265", "libsvtav1")
_INTRA_CODECS = ("ffv1", "prores_ks")
_DEFAULT_QUALITY = {
    "libx264": 16,
    "libx265": 18,
    "libsvtav1": 24,
    "libvpx-vp9": 20,
    "h264_nvenc": 18,
    "hevc_nvenc": 20,
}
_SVT_PRESETS = {"ultrafast": 10, "superfast": 10, "veryfast": 9, "faster": 9, "fast": 8, "medium": 7, "slow": 5}
_VPX_SPEEDS = {"ultrafast": 8, "superfast": 7, "veryfast": 6, "faster": 5, "fast": 4, "medium": 3, "slow": 2}
_NVENC_PRESETS = {"ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3", "fast": "p4", "medium": "p5"}


@dataclass(frozen=True, slots=True)
class EncodeSpec:
    """Encoder settings of a job; the same for all its segments.

    Attributes:
        codec: An encoder's FFmpeg name, one of `CODECS`.
        quality: Constant rate factor (or cq of nvenc); None for the encoder's usual value.
        preset: Speed preset in x264's words.
        keyframe_frames: Longest distance between key frames.
        pixel_format: FFmpeg name of the encoded format.
        size: Stored frame; odd sizes are padded by one pixel where the codec needs even ones.
        rate: Nominal frames a second, for rate control.
        time_base: Ticks of the time stamps given to `write`.
        color: Colour description that is written into the stream.
        sample_aspect_ratio: Width of a pixel over its height.
        threads: Encoder threads.
        field_order: Of interlaced frames, which field is shown first; for `INTERLACED_CODECS`.
        hdr: Mastering display and light levels that are written into the stream; for `HDR_CODECS`.
        was_deinterlaced: Whole frames were made of fields on purpose.
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
    field_order: FieldOrder = "progressive"
    hdr: Hdr = NO_HDR
    was_deinterlaced: bool = False

    @property
    def is_interlaced(self) -> bool:
        """True where frames are encoded as two fields."""
        return self.field_order != "progressive"


def encoded_size(size: Size, codec: str, pixel_format: PixelFormat, *, is_interlaced: bool = False) -> Size:
    """Return the size after padding to what the codec can carry.

    Args:
        size: Of the frames.
        codec: FFmpeg name of the encoder.
        pixel_format: Format in which it encodes.
        is_interlaced: Rows are padded field by field.
    """
    if codec in _INTRA_CODECS:
        return size
    step_x = 2 if codec == "libsvtav1" else 1 << pixel_format.shift_x
    step_y = 2 if codec == "libsvtav1" else (2 if is_interlaced else 1) << pixel_format.shift_y
    return Size(-(-size.width // step_x) * step_x, -(-size.height // step_y) * step_y)


def encoder_formats(codec: str) -> set[str]:
    """Return the pixel formats that an encoder of this build takes; empty when it is not there."""
    try:
        return {f.name for f in av.Codec(codec, "w").video_formats or []}
    except (av.error.FFmpegError, ValueError):
        return set()


def encoder_options(spec: EncodeSpec) -> dict[str, str]:
    """Return the options of an encoder's own."""
    quality = spec.quality if spec.quality is not None else _DEFAULT_QUALITY.get(spec.codec, 0)
    if spec.codec in HARDWARE_CODECS:
        return {"rc": "vbr", "cq": str(quality), "preset": _NVENC_PRESETS.get(spec.preset, spec.preset)}
    return {
        "libx264": lambda: {"crf": str(quality), "preset": spec.preset, **_x264_params(spec)},
        "libx265": lambda: {"crf": str(quality), "preset": spec.preset, "x265-params": _x265_params(spec)},
        "libsvtav1": lambda: {
            "crf": str(quality),
            "preset": str(_SVT_PRESETS.get(spec.preset, spec.preset)),
            "svtav1-params": _svt_params(spec),
        },
        "libvpx-vp9": lambda: {
            "crf": str(quality),
            "b": "0",
            "cpu-used": str(_VPX_SPEEDS.get(spec.preset, spec.preset)),
            "row-mt": "1",
            "auto-alt-ref": "0",  # hidden frames do not go with alpha
        },
        "prores_ks": lambda: {
            "profile": "4444" if "444" in spec.pixel_format else "hq",
            "vendor": "apl0",
            "alpha_bits": "16" if "yuva" in spec.pixel_format else "0",
        },
        # Version 3 with slices and checksums; every frame a key frame.
        "ffv1": lambda: {"level": "3", "slicecrc": "1", **({"slices": "4"} if _has_quarters(spec) else {})},
    }[spec.codec]()


def _has_quarters(spec: EncodeSpec) -> bool:
    """Tell whether a frame can be cut into four slices; at other sizes ffv1 finds a number that fits.

    Source: FFmpeg's ff_need_new_slices: in version 3 chroma may not overlap at the cut.
    """
    pixels = planar_format(spec.pixel_format)
    sides = ((spec.size.width, pixels.shift_x), (spec.size.height, pixels.shift_y)) if pixels else ()
    return all(
        side_px > 1 << shift and (side_px % (1 << shift) == 0 or (side_px - side_px // 2) % (1 << shift) != 0)
        for side_px, shift in sides
    )


def steady_x264() -> list[str]:
    """Return the parameters with which x264 gives the same bytes for the same frames, as NAME=VALUE.

    Its macroblock tree for AVX-512 reads memory that nobody wrote at some widths, 480 and 1920 among them: each run
    would give other bytes, and processors without AVX-512 others again. Code up to AVX2 does not.
    """
    return ["asm=AVX2"] if "avx512f" in (processor_flags() or ()) else []


def _x264_params(spec: EncodeSpec) -> dict[str, str]:
    parts, hdr = steady_x264(), spec.hdr
    # FFmpeg tells x264 with the first frame that the bottom field comes first, and the first frames say otherwise.
    parts += ["bff=1"] if spec.field_order == "bff" else []
    parts += [f"mastering-display={steps(hdr.mastering)}"] if hdr.mastering else []
    parts += [f"cll={hdr.light.brightest_pixel},{hdr.light.brightest_frame}"] if hdr.light else []
    return {"x264-params": ":".join(parts)} if parts else {}


def _x265_params(spec: EncodeSpec) -> str:
    parts = [f"log-level=error:pools={spec.threads or '*'}:frame-threads=1"]
    light = spec.hdr.light
    parts += [f"master-display={steps(spec.hdr.mastering)}"] if spec.hdr.mastering else []
    parts += [f"max-cll={light.brightest_pixel},{light.brightest_frame}"] if light else []
    return ":".join([*parts, "hdr10=1:repeat-headers=1"] if len(parts) > 1 else parts)


def _svt_params(spec: EncodeSpec) -> str:
    parts, light = [f"lp={spec.threads or 0}"], spec.hdr.light
    parts += [f"mastering-display={decimals(spec.hdr.mastering)}"] if spec.hdr.mastering else []
    parts += [f"content-light={light.brightest_pixel},{light.brightest_frame}"] if light else []
    return ":".join(parts)


def check_encoder(spec: EncodeSpec) -> None:
    """Open an encoder once, without a file.

    Raises:
        SettingsError: It does not open with these settings.
    """
    try:
        context = cast("VideoCodecContext", av.CodecContext.create(spec.codec, "w"))
        context.options = encoder_options(spec)
        configure(context, spec)
    except (av.error.FFmpegError, ValueError) as error:
        raise encoder_refused(spec, error) from error


def opening_encoders() -> tuple[str, ...]:
    """Return the encoders that really open here: that one was compiled in says little for nvenc."""
    return tuple(codec for codec in CODECS if _opens(codec))


def _opens(codec: str) -> bool:
    tags = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)
    size, rate = Size(256, 256), Fraction(25)
    pixels = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    try:
        check_encoder(EncodeSpec(codec, None, "ultrafast", 25, pixels, size, rate, 1 / rate, tags, Fraction(1), 1))
    except SettingsError:
        return False
    return True


def is_hardware(encoder: str) -> bool:
    """Tell whether an encoder needs a GPU, and so opens only where there is one that has it."""
    return encoder in HARDWARE_CODECS


def configure(context: VideoCodecContext, spec: EncodeSpec, pixel_format: str = "") -> None:
    """Set the parameters of an encoder and open it.

    Args:
        context: The encoder.
        spec: The parameters.
        pixel_format: FFmpeg name of the format in which it gets frames, where that is not the spec's.

    Raises:
        av.error.FFmpegError: It does not open with these.
        ValueError: PyAV does not take one.
    """
    context.width, context.height = spec.size.width, spec.size.height
    context.pix_fmt = pixel_format or spec.pixel_format
    context.time_base = spec.time_base
    context.framerate = spec.rate
    context.gop_size = 1 if spec.codec in _INTRA_CODECS else spec.keyframe_frames
    if spec.is_interlaced:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        context.field_order = AV_FIELD_ORDER[spec.field_order]
    context.thread_count = spec.threads
    context.sample_aspect_ratio = spec.sample_aspect_ratio
    context.color_range = 2 if spec.color.full_range else 1
    context.colorspace = spec.color.matrix
    context.color_primaries = spec.color.primaries
    context.color_trc = spec.color.transfer
    with scheduled_as_before():
        context.open(strict=False)


@contextlib.contextmanager
def scheduled_as_before() -> Generator[None]:
    """Leave this process's threads in the machine's ordinary schedule, and its output alone.

    Run by root, SVT-AV1 makes the thread that opens it, and with it its own threads and every process that comes of it,
    a real-time one of the highest priority: the rest of the machine stands still beside it.
    """
    os.environ.setdefault("SVT_LOG", "1")  # it would print its settings, and has no other switch
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():  # no Linux
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in tasks.iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if os.sched_getscheduler(int(thread.name)) != policy:
                    os.sched_setscheduler(int(thread.name), policy, priority)


def encoder_refused(spec: EncodeSpec, error: Exception) -> SettingsError:
    """Return the error for an encoder that does not open."""
    return SettingsError(
        ENCODER_REFUSED,
        f"encode.codec = {spec.codec}",
        got=f"refused {spec.pixel_format} at {spec.size.width}x{spec.size.height} with preset {spec.preset}: {error}",
        do="Change the settings of encode; `lipwise-ray doctor` lists the encoders",
    )
