"""The table of what a device decodes: a small clip of each kind is decoded by it and in software, and compared.

A kind is tried when a stream of it comes first, and the outcome holds for the process: a card, its driver and FFmpeg's
libraries stay the same that long.
"""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import av.error
import numpy as np

from lipwise_ray.errors import MediaError
from lipwise_ray.media.cursor import FileCursor
from lipwise_ray.media.encode import scheduled_as_before
from lipwise_ray.media.hardware import HardwareDecoder, StreamKind, stream_kind
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import VideoInfo, probe_video
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_LOG = logging.getLogger("lipwise_ray")

CLIP_SIZE = Size(320, 184)
"""Large enough for every engine; its height is no multiple of 16, so that H.264's crop is compared too."""

_FORMATS = {8: "yuv420p", 10: "yuv420p10le"}
_FRAMES, CLIP_RATE = 14, Fraction(25)
_LOW, _HIGH, _NOISE = 30, 190, 25  # levels of 8 bits


@dataclass(frozen=True, slots=True)
class _Encoding:
    """Encoder of a clip, and its options: with frames out of order, and grain where the codec has its own."""

    encoder: str
    options: dict[str, str]


_X265 = {"preset": "ultrafast", "x265-params": "log-level=error:pools=1:frame-threads=1:bframes=2:keyint=8"}
_CLIPS = {
    StreamKind("h264", 8): _Encoding("libx264", {"preset": "veryfast", "bf": "2", "g": "8"}),
    StreamKind("hevc", 8): _Encoding("libx265", _X265),
    StreamKind("hevc", 10): _Encoding("libx265", _X265),
    StreamKind("vp9", 8): _Encoding("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "8"}),
    StreamKind("av1", 8): _Encoding("libsvtav1", {"preset": "12", "g": "8", "svtav1-params": "film-grain=8:lp=1"}),
}
KINDS = tuple(_CLIPS)
"""Kinds that are tried; all others are decoded in software."""


@dataclass(frozen=True, slots=True)
class KindOutcome:
    """Outcome of a kind's comparison; ``problem`` is empty where hardware decodes it bit by bit as software does."""

    kind: StreamKind
    problem: str


class HardwareFrames:
    """Hardware decoding of a process.

    Args:
        make: Makes the decoder of a codec; it raises where there is none.
    """

    def __init__(self, make: Callable[[str], HardwareDecoder]) -> None:
        self._make = make
        self._problems: dict[StreamKind, str] = {}
        self._refused: set[tuple[StreamKind, Size]] = set()

    def decoder(self, info: VideoInfo, index: FrameIndex) -> HardwareDecoder | None:
        """Return the decoder of a video, None where software decodes it.

        A device may decode a kind of stream and yet not such large frames of it: what it refused once is not tried
        again by this process.

        Args:
            info: The video.
            index: Its frames.
        """
        kind = stream_kind(info, index)
        if kind not in _CLIPS or (kind, info.size) in self._refused or self.problem(kind):
            return None
        return replace(self._make(kind.codec), refused=partial(self._remember, kind, info.size))

    def _remember(self, kind: StreamKind, size: Size, reason: str) -> None:
        self._refused.add((kind, size))
        _LOG.warning("%s of %dx%d is decoded in software from now on: %s", kind, size.width, size.height, reason)

    def problem(self, kind: StreamKind) -> str:
        """Return the reason why streams of a kind are decoded in software, empty where hardware does it."""
        if kind not in self._problems:
            try:
                self._problems[kind] = self._tried(kind)
            except MediaError as error:
                self._problems[kind] = error.got
            # Whatever else it is, software does it: PyAV's errors, torch's, those of the disk.
            except (av.error.FFmpegError, ImportError, RuntimeError, ValueError, OSError) as error:
                self._problems[kind] = getattr(error, "strerror", "") or (str(error).splitlines() or ["no reason"])[0]
        return self._problems[kind]

    def table(self) -> tuple[KindOutcome, ...]:
        """Return the outcomes of all kinds; those that were not tried yet are."""
        return tuple(KindOutcome(kind, self.problem(kind)) for kind in KINDS)

    def _tried(self, kind: StreamKind) -> str:
        hardware = self._make(kind.codec)
        if hardware.accelerator is not None:
            hardware.accelerator().create(av.Codec(kind.codec, "r"))  # without a device no clip need be made
        with tempfile.TemporaryDirectory(prefix="lipwise-ray-") as folder:
            path = Path(folder) / "clip.mkv"
            _write(path, kind)
            info = probe_video(path)
            index = build_index(info)
            made, expected = (_checksums(info, index, decoder) for decoder in (hardware, None))
        wrong = [n for n, (ours, theirs) in enumerate(zip_longest(made, expected)) if ours != theirs]
        return f"its frame {wrong[0]} is another one than software's" if wrong else ""


def _checksums(info: VideoInfo, index: FrameIndex, hardware: HardwareDecoder | None) -> list[tuple[int, ...]]:
    """Return the number, size and checksums of the planes of each frame."""
    cursor = FileCursor(info.path, info.stream_index, index, 1, salvage=False, hardware=hardware)
    found: list[tuple[int, ...]] = []
    try:
        for number, frame in cursor:
            crcs = [zlib.crc32(plane_array(frame, n).tobytes()) for n in range(len(frame.planes))]
            found.append((number, frame.width, frame.height, *crcs))
    finally:
        cursor.release()
    return found


def _write(path: Path, kind: StreamKind) -> None:
    """Write a clip of moving stripes under seeded noise."""
    encoding = _CLIPS[kind]
    rng = np.random.default_rng(0)
    with closing(av.open(str(path), "w")) as container:
        stream = cast("VideoStream", container.add_stream(encoding.encoder, rate=CLIP_RATE, options=encoding.options))
        stream.width, stream.height = CLIP_SIZE.width, CLIP_SIZE.height
        stream.pix_fmt = _FORMATS[kind.bits]
        stream.codec_context.thread_count = 1
        with scheduled_as_before():
            container.start_encoding()
        for number in range(_FRAMES):
            frame = seeded_frame(kind.bits, number, rng)
            frame.pts, frame.time_base = number, 1 / CLIP_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seeded_frame(bits: int, number: int, rng: np.random.Generator) -> VideoFrame:
    """Return a frame of stripes, which move from frame to frame, under noise.

    Args:
        bits: Of a sample.
        number: Its number in the clip.
        rng: The noise.
    """
    frame = av.VideoFrame(CLIP_SIZE.width, CLIP_SIZE.height, _FORMATS[bits])
    for plane in range(len(frame.planes)):
        samples = plane_array(frame, plane)
        rows, columns = np.indices(samples.shape)
        levels = _LOW + (3 * columns + 2 * rows + 7 * number * (plane + 1)) % (_HIGH - _LOW)
        samples[:] = (levels + rng.integers(0, _NOISE, samples.shape)) << (bits - 8)
    return frame
