"""Encoding from a device's memory: a small clip of each codec and format is encoded so and plainly, and compared.

A kind is tried when a segment of it comes first, and the outcome holds for the process, as it does for decoding.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection
from fractions import Fraction
from functools import partial
from pathlib import Path

import av.error
import numpy as np

from lipwise_ray.errors import LipwiseError
from lipwise_ray.media.encode import EncodeSpec
from lipwise_ray.media.encoder_surfaces import SURFACE_FORMATS, EncoderSurfaces, SurfaceFeed, SurfaceFormat
from lipwise_ray.media.hardware_check import CLIP_RATE, CLIP_SIZE, seeded_frame
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.reader import read_through
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.values import ColorTags, PixelArray, Size

_LOG = logging.getLogger("lipwise_ray")

_FRAMES = 48
"""More than an encoder keeps, so that surfaces are used again."""

_MOST_LEVELS = 8
"""Mean difference of 8-bit samples: the clip's frame before it differs by 16 in luma and 26 in colours."""


class HardwareEncoding:
    """Encoding from a device's memory, in a process.

    Args:
        make: Makes surfaces of a size and format; it raises where there is no device.
        codecs: FFmpeg names of the encoders that read from it.
    """

    def __init__(self, make: Callable[[Size, SurfaceFormat], EncoderSurfaces], codecs: Collection[str]) -> None:
        self._make = make
        self._codecs = codecs
        self._problems: dict[tuple[str, str], str] = {}
        self._latest: EncoderSurfaces | None = None

    def feed(self, spec: EncodeSpec) -> SurfaceFeed | None:
        """Return surfaces for a segment, None where its encoder is to get frames from this machine's memory.

        Args:
            spec: Parameters of the encoder.
        """
        kind = spec.codec, spec.pixel_format
        if not self._takes(spec) or self.problem(*kind):
            return None
        surfaces = self._make(spec.size, SURFACE_FORMATS[spec.pixel_format])
        # An encoder knows surfaces by their addresses until it closes, which it has when the next one opens.
        self._latest = surfaces
        return SurfaceFeed(surfaces, partial(self._refuse, kind))

    def _takes(self, spec: EncodeSpec) -> bool:
        is_plain = not (spec.is_interlaced or spec.size.width % 2 or spec.size.height % 2)
        return is_plain and spec.codec in self._codecs and spec.pixel_format in SURFACE_FORMATS

    def _refuse(self, kind: tuple[str, str], reason: str) -> None:
        self._problems[kind] = reason
        _LOG.warning("%s gets its frames from this machine's memory from now on: %s", kind[0], reason)

    def problem(self, codec: str, pixel_format: str = "yuv420p") -> str:
        """Return the reason why a codec is not encoded from the device's memory; empty where it is.

        Args:
            codec: FFmpeg name of the encoder.
            pixel_format: Format in which it encodes, one of `SURFACE_FORMATS`.
        """
        kind = codec, pixel_format
        if kind not in self._problems:
            try:
                self._problems[kind] = self._tried(codec, pixel_format)
            except LipwiseError as error:
                self._problems[kind] = error.got
            # Whatever else it is, the usual way does it: PyAV's errors, torch's, those of the disk.
            except (av.error.FFmpegError, ImportError, RuntimeError, ValueError, OSError) as error:
                self._problems[kind] = getattr(error, "strerror", "") or (str(error).splitlines() or ["no reason"])[0]
        return self._problems[kind]

    def _tried(self, codec: str, pixel_format: str) -> str:
        surfaces = self._make(CLIP_SIZE, SURFACE_FORMATS[pixel_format])
        surfaces.accelerator()  # without a device nothing need be encoded
        problems: list[str] = []
        tags = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)
        spec = EncodeSpec(
            codec, None, "medium", _FRAMES, pixel_format, CLIP_SIZE, CLIP_RATE, 1 / CLIP_RATE, tags, Fraction(1), 1
        )
        with tempfile.TemporaryDirectory(prefix="lipwise-ray-") as folder:
            ours, theirs = (
                _decoded(Path(folder) / name, spec, feed)
                for name, feed in (("ours.mkv", SurfaceFeed(surfaces, problems.append)), ("theirs.mkv", None))
            )
        if problems:
            return problems[0]
        wrong = [number for number, (one, other) in enumerate(zip(ours, theirs, strict=True)) if _differ(one, other)]
        return f"its frame {wrong[0]} is another one than without" if wrong else ""


def _decoded(path: Path, spec: EncodeSpec, feed: SurfaceFeed | None) -> list[list[PixelArray]]:
    """Return the planes of each frame of a clip that is encoded and decoded again."""
    rng = np.random.default_rng(0)
    shape = planar_format(SURFACE_FORMATS[spec.pixel_format].planar)
    assert shape is not None  # they are planar
    with SegmentWriter(path, spec, feed=feed) as writer:
        for number in range(_FRAMES):
            writer.write(seeded_frame(shape.bits, number, rng), number)
        writer.finish()
    return [
        [plane_array(frame, plane).copy() for plane in range(len(frame.planes))]
        for frame in read_through(path, threads=1)
    ]


def _differ(one: list[PixelArray], other: list[PixelArray]) -> bool:
    """Tell whether two frames are not of one picture: encoders need not decide alike each time, as x264 does not."""
    return any(
        np.abs(a.astype(np.int32) - b).mean() > _MOST_LEVELS * (1 if a.itemsize == 1 else 4)
        for a, b in zip(one, other, strict=True)
    )
