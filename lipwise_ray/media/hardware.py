"""Decoding by a GPU's video engine: the streams that it may be asked for, and how their frames come to this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
from av.codec.hwaccel import HWAccel

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from lipwise_ray.media.index import FrameIndex
    from lipwise_ray.media.probe import VideoInfo

_CODECS = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "libdav1d": "av1", "av1": "av1"}
_BITS = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10}
_OWN_DECODER = "av1"
"""The codec whose usual decoder in FFmpeg knows no hardware, while another one of it knows nothing else."""


@dataclass(frozen=True, slots=True, order=True)
class StreamKind:
    """Streams that a card decodes alike: of a codec, with so many bits a sample, in 4:2:0."""

    codec: str
    bits: int

    def __str__(self) -> str:
        return f"{self.codec} {self.bits} bit"


class FrameDownloads(Protocol):
    """Brings frames of a device to this machine's memory."""

    def __call__(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield frames in planar YUV of 4:2:0, sample by sample what the decoder has made.

        Args:
            frames: Frames as the decoder gives them: NV12, or P010 for 10 bits, on the device.
        """
        ...


@dataclass(frozen=True, slots=True)
class HardwareDecoder:
    """Decoder of a device for one codec.

    Attributes:
        codec: The codec, as a `StreamKind` has it.
        accelerator: Makes PyAV's description of the device, in the thread that opens a file; without it FFmpeg decodes
            in software, and all the rest is the same.
        downloads: Brings its frames to this machine's memory.
        refused: Told the reason where the device gave no frame of a video that software decodes.
    """

    codec: str
    accelerator: Callable[[], HWAccel] | None
    downloads: FrameDownloads
    refused: Callable[[str], None] = lambda _: None

    def opens_with(self) -> HWAccel | None:
        """Return the accelerator for opening a file, None where it is opened plainly."""
        return None if self.accelerator is None or self.codec == _OWN_DECODER else self.accelerator()

    def context(self, stream: VideoStream) -> VideoCodecContext:
        """Return the context that decodes an open file's stream."""
        usual = stream.codec_context
        if self.accelerator is None or self.codec != _OWN_DECODER:
            return usual
        own = av.CodecContext.create(_OWN_DECODER, "r", self.accelerator())
        own.extradata, own.options = usual.extradata, usual.options
        own.sample_aspect_ratio = usual.sample_aspect_ratio or Fraction(1)
        return own


def stream_kind(info: VideoInfo, index: FrameIndex) -> StreamKind | None:
    """Return the kind of a stream that hardware may decode, None where software has to.

    That is so for other codecs and formats, fields, frames of several or odd sizes, and where frames are told apart by
    their samples because the container's time stamps are not to be trusted.

    Args:
        info: The video, opened without hardware: with it, FFmpeg does not tell the true format.
        index: Its frames.
    """
    codec, bits = _CODECS.get(info.codec), _BITS.get(info.pixel_format)
    is_plain = info.field_order == "progressive" and not (info.is_still or info.has_alpha or len(index.key_crc))
    is_even = all(size == info.size and not (size.width % 2 or size.height % 2) for size in index.sizes)
    if codec is None or bits is None or not (is_plain and is_even):
        return None
    return StreamKind(codec, bits)
