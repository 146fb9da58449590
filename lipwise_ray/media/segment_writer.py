"""Writing a segment: frames of one format to a Matroska file of one video stream."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import av
import av.error
import numpy as np

from lipwise_ray.errors import ran_out_of_memory
from lipwise_ray.media.colours import recoloured, tag
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.encode import EncodeSpec, configure, encoder_options, encoder_refused
from lipwise_ray.media.encoder_surfaces import SurfaceFeed
from lipwise_ray.media.fields import FieldMarker
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.values import ColorTags, Size

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_LOG = logging.getLogger("lipwise_ray")
_FAR_TICKS = 1 << 40
_FEED_ERRORS = (av.error.FFmpegError, ImportError, RuntimeError, ValueError, TypeError, MemoryError)
"""PyAV's errors and torch's, where frames do not come to the encoder from a device."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment file.

    ``reorder`` is how many packets a frame is coded ahead of its turn, at most.
    """

    frames: int
    reorder: int
    bytes_total: int
    sha256: str


class SegmentWriter:
    """Encodes frames to a file as they come.

    Args:
        path: The file; overwritten.
        spec: Parameters of the encoder.
        source: Meaning of the frames' samples, where they are to be given another one.
        feed: Surfaces of a device from which the encoder reads its frames, until something goes wrong with them; from
            there on it gets them from this machine's memory. None for that from the first one on.

    Raises:
        SettingsError: The encoder does not open with these settings.
        StorageError: The disk is full.
        OutputError: The file cannot be written.
    """

    def __init__(
        self, path: Path, spec: EncodeSpec, source: ColorTags | None = None, feed: SurfaceFeed | None = None
    ) -> None:
        self._path = path
        self._spec = spec
        self._source = source or spec.color
        self._frames = 0
        self._order: list[int] = []
        self._mark = FieldMarker(spec.field_order) if spec.is_interlaced else None
        self._feed = feed
        if feed is not None:
            try:
                self._container, self._stream = _opened(path, spec, feed)
            except _FEED_ERRORS as error:
                self._give_up(feed, error)
        if self._feed is None:
            try:
                self._container, self._stream = _opened(path, spec, None)
            except (av.error.FFmpegError, ValueError) as error:
                raise encoder_refused(spec, error) from error

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
        if ready is not frame:
            ready.opaque = None  # planes on a device are those of the frame that it was made of
        ready = self._on_surface(ready, pts)
        frame.opaque = None  # a thread of an encoder that lets go of it would wait for Python, and Python for it
        if self._mark is not None:
            ready = self._mark(ready)
        ready.pts = pts
        ready.time_base = self._spec.time_base
        ready.pict_type = 0  # the encoder decides; a decoded frame carries its old type
        self._encode(ready)
        self._frames += 1

    def finish(self) -> Segment:
        """Flush the encoder, close the file and return what it holds."""
        self._encode(None)
        try:
            self._container.close()
            sha256 = sha256_of(self._path)
        except OSError as error:
            raise write_problem(self._path, error) from error
        rank = np.argsort(np.argsort(self._order, kind="stable"), kind="stable")
        reorder = int((np.arange(len(rank)) - rank).max(initial=0))
        return Segment(self._frames, reorder, self._path.stat().st_size, sha256)

    def _encode(self, frame: VideoFrame | None) -> None:
        try:
            packets = self._stream.encode(frame)
        except av.error.FFmpegError as error:
            if self._feed is not None:  # the next attempt does without it
                self._give_up(self._feed, error)
            raise
        self._mux(packets)

    def _on_surface(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """Return a frame as the encoder is given it: its surface, where it has one."""
        if self._feed is None:
            return frame
        try:
            surface = self._feed.surfaces.filled(frame, pts)
        except _FEED_ERRORS as error:
            self._give_up(self._feed, error)
            return frame  # PyAV brings it to the device, should the encoder want it there
        tag(surface, self._spec.color)
        return surface

    def _give_up(self, feed: SurfaceFeed, error: Exception) -> None:
        _LOG.warning("%s: frames come to the encoder from this machine's memory: %s", self._path.name, error)
        self._feed = None
        if not ran_out_of_memory(error):
            feed.refused(str(error))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        try:
            for packet in packets:
                _mend_dts(packet)
                self._order.append(packet.pts or 0)
                if self._feed is not None and packet.pts is not None:
                    self._feed.surfaces.returned(packet.pts)
                self._container.mux_one(packet)
        except OSError as error:
            raise write_problem(self._path, error) from error

    def _fitted(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame as it is encoded.

        A change of matrix or range belongs to the conversion: to samples of RGB it was done before, and others keep
        what they mean unless the job asks for a video that every player shows.
        """
        spec = self._spec
        wanted = self._feed.surfaces.format.planar if self._feed else spec.pixel_format
        if frame.format.name != wanted.replace("yuvj", "yuv") or self._source != spec.color:
            frame = recoloured(frame, self._source, spec.color, wanted)
        if (frame.width, frame.height) != (spec.size.width, spec.size.height):
            frame = _padded(frame, spec.size)
        tag(frame, spec.color)
        return frame


def _opened(path: Path, spec: EncodeSpec, feed: SurfaceFeed | None) -> tuple[OutputContainer, VideoStream]:
    """Return a new file and the stream of its encoder.

    Raises:
        av.error.FFmpegError: The encoder does not open.
        ValueError: PyAV does not take one of its parameters.
        RuntimeError: There is no such device.
        StorageError: The disk is full.
        OutputError: The file cannot be written.
    """
    accelerator = feed.surfaces.accelerator() if feed else None
    try:
        container = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
    except OSError as error:
        raise write_problem(path, error) from error
    try:
        options = encoder_options(spec)
        stream = cast(
            "VideoStream", container.add_stream(spec.codec, rate=spec.rate, options=options, hwaccel=accelerator)
        )
        configure(stream.codec_context, spec, feed.surfaces.format.name if feed else "")
        container.start_encoding()
    except BaseException:
        with contextlib.suppress(av.error.FFmpegError):
            container.close()
        raise
    return container, stream


def _mend_dts(packet: Packet[Any]) -> None:
    """Replace a decoding time that cannot be one by the time of the frame.

    x265 leaves it to chance where a stream ends before frames could be reordered: of one or two frames, all in order.
    """
    pts, dts = packet.pts, packet.dts
    if pts is not None and dts is not None and not pts - _FAR_TICKS < dts <= pts:
        packet.dts = pts


def _padded(frame: VideoFrame, size: Size) -> VideoFrame:
    """Return a copy with the last column and row repeated up to `size`."""
    fresh = av.VideoFrame(size.width, size.height, frame.format.name)
    for plane in range(len(frame.planes)):
        old, new = plane_array(frame, plane), plane_array(fresh, plane)
        rows = np.minimum(np.arange(new.shape[0]), old.shape[0] - 1)
        columns = np.minimum(np.arange(new.shape[1]), old.shape[1] - 1)
        np.copyto(new, old[np.ix_(rows, columns)])
    return fresh
