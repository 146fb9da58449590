"""Sizes of the frames of a stream, read from its packets: recorded calls and joined films change them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_PARAMETER_SETS = {
    "h264": ("h264_mp4toannexb", "extract_extradata"),
    "hevc": ("hevc_mp4toannexb", "extract_extradata"),
    "vvc": ("vvc_mp4toannexb", "extract_extradata"),
    "av1": ("extract_extradata",),
    "libdav1d": ("extract_extradata",),
    "mpeg1video": ("extract_extradata",),
    "mpeg2video": ("extract_extradata",),
    "mpeg4": ("extract_extradata",),
    "vc1": ("extract_extradata",),
}
"""Codecs that state frame sizes in headers apart from the frames, and how to come by them."""

_VP8_START = b"\x9d\x01\x2a"
_VP8_HEADER_BYTES = 10
_VP9_SYNC = 0x498342
_VP9_SRGB = 7
_VP9_MARKER = 2
_VP9_DEEP, _VP9_DEEP_SUBSAMPLED = 2, 3  # profiles
_VP9_INDEX_MASK, _VP9_INDEX = 0xE0, 0xC0
_MOST_HEADERS = 1000
"""More differing headers than this are no changes of size but a stream that counts something in them."""


class SizeSurvey:
    """Collects the sizes of a stream's frames while it is demuxed.

    Sizes that only decoding can tell are left out: frames of such a size are fitted into the first one.

    Args:
        stream: The stream.
        size: Of its first frame.
    """

    def __init__(self, stream: VideoStream, size: Size) -> None:
        self._codec = stream.codec_context.name
        self._sizes = {size: None}
        self._headers: set[bytes] = set()
        filters = _PARAMETER_SETS.get(self._codec, ())
        try:
            self._filters = [BitStreamFilterContext(name, stream) for name in filters]
        except (av.error.FFmpegError, ValueError):
            self._filters = []  # the stream is not what its codec's name says

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All of them, in the order in which they were seen."""
        return tuple(self._sizes)

    def take(self, packet: Packet[Any]) -> None:
        """Look at a packet of the stream."""
        if self._codec == "vp8":
            self._add(_vp8_size(bytes(packet)[:10]))
        elif self._codec in ("vp9", "libvpx-vp9"):
            for data in _vp9_frames(bytes(packet)):
                self._add(_vp9_size(data))
        elif self._filters and (packet.is_keyframe or packet.has_sidedata("new_extradata")):
            self._take_headers(packet)

    def _add(self, size: Size | None) -> None:
        if size is not None:
            self._sizes.setdefault(size)

    def _take_headers(self, packet: Packet[Any]) -> None:
        """Decode a key frame whose headers were not seen before."""
        copy = Packet(bytes(packet))
        copy.pts, copy.dts, copy.time_base, copy.is_keyframe = packet.pts, packet.dts, packet.time_base, True
        if packet.has_sidedata("new_extradata"):
            copy.set_sidedata(packet.get_sidedata("new_extradata"))
        packets = [copy]
        try:
            for bitstream_filter in self._filters:
                packets = [made for each in packets for made in bitstream_filter.filter(each)]
        except av.error.FFmpegError:
            return
        for made in packets:
            if not made.has_sidedata("new_extradata"):
                continue
            header = bytes(made.get_sidedata("new_extradata"))
            if header in self._headers or len(self._headers) >= _MOST_HEADERS:
                continue
            self._headers.add(header)
            if len(self._headers) > 1:  # the first one is known
                self._add(self._decoded_size(bytes(made)))

    def _decoded_size(self, data: bytes) -> Size | None:
        decoder = cast("VideoCodecContext", av.CodecContext.create(self._codec, "r"))
        decoder.thread_count = 1
        with contextlib.suppress(av.error.FFmpegError):
            for frame in [*decoder.decode(Packet(data)), *decoder.decode(None)]:
                return Size(frame.width, frame.height)
        return None


def _vp8_size(head: bytes) -> Size | None:
    """Return the size that a key frame of VP8 states (RFC 6386, 9.1)."""
    if len(head) < _VP8_HEADER_BYTES or head[0] & 1 or head[3:6] != _VP8_START:
        return None
    return _whole(Size(int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF))


def _vp9_frames(data: bytes) -> Iterator[bytes]:
    """Yield the frames of a packet of VP9, which may hold several (Annex B of its specification)."""
    last = data[-1] if data else 0
    count, bytes_a_size = (last & 7) + 1, (last >> 3 & 3) + 1
    index_bytes = 2 + count * bytes_a_size
    if last & _VP9_INDEX_MASK != _VP9_INDEX or len(data) < index_bytes or data[-index_bytes] != last:
        yield data
        return
    start, index = 0, data[1 - index_bytes : -1]
    for number in range(count):
        size = int.from_bytes(index[number * bytes_a_size : (number + 1) * bytes_a_size], "little")
        yield data[start : start + size]
        start += size


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def __call__(self, count: int) -> int:
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


def _vp9_size(data: bytes) -> Size | None:
    """Return the size that a frame of VP9 states (section 6.2); None where it is that of an earlier frame."""
    with contextlib.suppress(EOFError):
        return _vp9_stated(_Bits(data[:24]))
    return None


def _vp9_stated(bits: _Bits) -> Size | None:
    marker, profile = bits(2), bits(1) | bits(1) << 1
    is_reserved = bits(1) if profile == _VP9_DEEP_SUBSAMPLED else 0
    if marker != _VP9_MARKER or is_reserved or bits(1):  # show_existing_frame
        return None
    is_inter, is_shown, is_resilient = bits(1), bits(1), bits(1)
    is_intra_only = is_inter and not is_shown and bits(1)
    if is_inter and not is_resilient:
        bits(2)  # reset_frame_context
    if is_inter and not is_intra_only:
        bits(8 + 3 * 4)  # refresh_frame_flags; three references, their sign biases
        # found_ref: as large as that reference, which was seen before.
        return None if any(bits(1) for _ in range(3)) else _vp9_explicit(bits)
    if bits(24) != _VP9_SYNC:
        return None
    if profile or not is_inter:
        _skip_color(bits, profile)
    if is_inter:
        bits(8)  # refresh_frame_flags
    return _vp9_explicit(bits)


def _skip_color(bits: _Bits, profile: int) -> None:
    if profile >= _VP9_DEEP:
        bits(1)  # ten_or_twelve_bit
    is_srgb = bits(3) == _VP9_SRGB
    if not is_srgb:
        bits(1)  # color_range
    if profile in (1, _VP9_DEEP_SUBSAMPLED):
        bits(1 if is_srgb else 3)  # subsampling, reserved_zero


def _vp9_explicit(bits: _Bits) -> Size | None:
    return _whole(Size(bits(16) + 1, bits(16) + 1))


def _whole(size: Size) -> Size | None:
    return size if size.width and size.height else None
