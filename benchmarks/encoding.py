"""What encoders give for their bits and their time on filmed clips, and what our presets should take.

    python -m benchmarks.encoding [FOLDER] [--frames 20] [--codecs libx264,libx265,libsvtav1]

FOLDER has clips (.mp4); without it those of the demo are encoded. Each setting encodes the same frames through the
product's writer on one thread. Printed are bits a pixel, similarity (SSIM of luma, over windows of 8 pixels, as a mean
over every third frame), CPU milliseconds a frame; then, for each of our presets, what every speed takes for the
similarity that the preset delivers: bits and CPU time beside those of `medium`, and the quality to ask for.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.fresh_process import in_child
from lipwise_ray.media.encode import EncodeSpec, encoder_formats
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.resources import jobs_folder
from lipwise_ray.settings.layers import read_preset, resolve
from lipwise_ray.values import ColorTags, Size

DEMO = Path(__file__).parents[1] / "manifests" / "demo"
PRESETS = ("quality", "fast")
USUAL_QUALITY = 16  # of libx264, where a preset names none
SPEEDS = {
    "libx264": ("medium", "fast", "faster", "veryfast"),
    "libx265": ("medium", "veryfast"),
    "libsvtav1": ("medium", "veryfast"),
}
QUALITIES = {"libx264": (14, 16, 20, 22), "libx265": (16, 20), "libsvtav1": (20, 30)}
WINDOW_PX = 8
EVERY = 3
"""Of so many frames one is compared: no divisor of how encoders space theirs."""

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SAME_BITS = 1.01
"""Of two speeds that take as many bits, give or take so much, the quicker is the better."""


@dataclass(frozen=True, slots=True)
class Point:
    """One encoding of one clip."""

    quality: int
    bits_a_pixel: float
    ssim: float
    cpu_ms: float


def similarity(a: Any, b: Any) -> float:
    """Return the SSIM of two images in levels of 255, over square windows; by box filters it takes a few ms."""

    def mean(image: Any) -> Any:
        return cv2.blur(image, (WINDOW_PX, WINDOW_PX))

    a_mean, b_mean = mean(a), mean(b)
    a_var, b_var, both = mean(a * a) - a_mean**2, mean(b * b) - b_mean**2, mean(a * b) - a_mean * b_mean
    shown = (2 * a_mean * b_mean + C1) * (2 * both + C2) / ((a_mean**2 + b_mean**2 + C1) * (a_var + b_var + C2))
    return float(shown.mean(dtype=np.float64))


def _luma(frame: Any) -> Any:
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].astype(np.float32)


def _frames(path: Path, count: int) -> tuple[list[Any], Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [frame.reformat(format="yuv420p") for frame in islice(container.decode(stream), count)]
        return found, Fraction(stream.average_rate or 25)


def measured(arguments: dict[str, Any]) -> list[tuple[str, str, str, Point]]:
    """Encode one clip in every way; return clip, codec, speed and what came out. Runs in a child."""
    cv2.setNumThreads(1)
    path = Path(arguments["clip"])
    frames, rate = _frames(path, arguments["frames"])
    originals = [_luma(frame) for frame in frames]
    size = Size(frames[0].width // 2 * 2, frames[0].height // 2 * 2)
    found = []
    with tempfile.TemporaryDirectory() as name:
        segment = Path(name) / "segment.mkv"
        for codec in arguments["codecs"]:
            for speed in SPEEDS[codec]:
                for quality in QUALITIES[codec]:
                    spec = EncodeSpec(
                        codec=codec,
                        quality=quality,
                        preset=speed,
                        keyframe_frames=round(2 * rate),
                        pixel_format="yuv420p",
                        size=size,
                        rate=rate,
                        time_base=1 / rate,
                        color=ColorTags(),
                        sample_aspect_ratio=Fraction(1),
                        threads=1,
                    )
                    begun_s = time.process_time()
                    with SegmentWriter(segment, spec) as writer:
                        for pts, frame in enumerate(frames):
                            writer.write(frame, pts)
                        written = writer.finish()
                    cpu_ms = 1000 * (time.process_time() - begun_s) / len(frames)
                    decoded, _ = _frames(segment, len(frames))
                    pairs = zip(originals[::EVERY], decoded[::EVERY], strict=True)
                    ssim = statistics.fmean(similarity(a, _luma(b)) for a, b in pairs)
                    bits = 8 * written.bytes_total / (len(frames) * size.width * size.height)
                    found.append((path.stem, codec, speed, Point(quality, bits, ssim, cpu_ms)))
    return found


def _decibels(ssim: float) -> float:
    return -10 * math.log10(1 - ssim)


def at(points: Sequence[Point], ssim: float) -> tuple[float, float, float]:
    """Return bits a pixel, CPU milliseconds and quality with which a speed reaches a similarity.

    Between two measured qualities, or beyond the last, they are interpolated: bits and time by their logarithms, over
    the similarity in decibels, as for a Bjøntegaard delta.
    """
    line = sorted(points, key=lambda point: point.ssim)
    place = next((n for n, point in enumerate(line[1:-1], 1) if point.ssim >= ssim), len(line) - 1)
    a, b = line[place - 1], line[place]
    part = (_decibels(ssim) - _decibels(a.ssim)) / (_decibels(b.ssim) - _decibels(a.ssim))
    bits = math.exp(math.log(a.bits_a_pixel) + part * math.log(b.bits_a_pixel / a.bits_a_pixel))
    return bits, a.cpu_ms * (b.cpu_ms / a.cpu_ms) ** part, a.quality + part * (b.quality - a.quality)


def choice(
    points: dict[tuple[str, str], dict[str, list[Point]]], told: tuple[str, int]
) -> list[tuple[str, str, float, float, float]]:
    """Return, by codec and speed, what reaches the similarity that a preset delivers.

    Args:
        points: What was measured, by codec and speed, then by clip.
        told: Speed and quality of the preset, of libx264.

    Returns:
        Codec, speed, the factors of bits and CPU time over those of libx264's `medium` (geometric means of the clips),
        and the quality that no clip is worse with.
    """
    speed, quality = told
    rows = []
    for (codec, other), clips in points.items():
        bits, cpu, qualities = [], [], []
        for clip, line in clips.items():
            target = next(point.ssim for point in points["libx264", speed][clip] if point.quality == quality)
            base = at(points["libx264", "medium"][clip], target)
            found = at(line, target)
            bits.append(found[0] / base[0])
            cpu.append(found[1] / base[1])
            qualities.append(found[2])
        rows.append((codec, other, statistics.geometric_mean(bits), statistics.geometric_mean(cpu), min(qualities)))
    return rows


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--frames", type=int, default=20, help="of each clip")
    parser.add_argument("--codecs", default="libx264,libx265,libsvtav1")
    options = parser.parse_args()
    codecs = [codec for codec in options.codecs.split(",") if encoder_formats(codec)]
    told = {}
    for name in PRESETS:
        encode = resolve([(name, read_preset(jobs_folder(), name))]).encode
        told[name] = (encode.preset, USUAL_QUALITY if encode.quality is None else encode.quality)
    points: dict[tuple[str, str], dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for clip in sorted(options.folder.glob("*.mp4")):
        given = {"clip": str(clip), "frames": options.frames, "codecs": codecs}
        for name, codec, speed, point in in_child(measured, given):
            points[codec, speed][name].append(point)
    clips = next(iter(points.values()))
    print(f"{len(clips)} clips, {options.frames} frames each, one thread; means over the clips")
    print("codec     speed     quality  bits/pixel    SSIM  CPU-ms/frame")
    for (codec, speed), lines in points.items():
        for place, quality in enumerate(QUALITIES[codec]):
            same = [line[place] for line in lines.values()]
            bits, ssim, cpu_ms = (
                statistics.fmean(getattr(one, of) for one in same) for of in ("bits_a_pixel", "ssim", "cpu_ms")
            )
            print(f"{codec:<9} {speed:<9} {quality:>7} {bits:>11.4f} {ssim:>7.4f} {cpu_ms:>13.1f}")
    for name, of in told.items():
        print(f"\nat the SSIM of `{name}` (libx264 {of[0]} {of[1]}), beside libx264 medium:  bits    CPU  quality")
        rows = choice(points, of)
        for codec, speed, bits, cpu, quality in rows:
            print(f"  {codec:<9} {speed:<9} {bits:>32.3f} {cpu:>6.2f} {quality:>8.1f}")
        as_small = [row for row in rows if row[0] == "libx264" and row[2] <= SAME_BITS]
        print(f"  quickest of libx264 with the bits of medium: {min(as_small, key=lambda row: row[3])[1]}")


if __name__ == "__main__":
    main()
