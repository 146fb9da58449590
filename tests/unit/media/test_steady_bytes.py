"""Software encoders: the same bytes for the same frames, whatever their memory held before."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from lipwise_ray.media.encode import EncodeSpec, encoder_formats
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SIZE = Size(480, 270)  # a width at which x264's code for AVX-512 reads beyond what it wrote
RATE = Fraction(25)


def _written(path: Path, codec: str, threads: int = 2) -> str:
    """Write a file, and return its digest."""
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    spec = EncodeSpec(
        codec=codec,
        quality=20 if codec.startswith("lib") else None,
        preset="medium",
        keyframe_frames=50,
        pixel_format=pixel_format,
        size=SIZE,
        rate=RATE,
        time_base=1 / RATE,
        color=ColorTags(),
        sample_aspect_ratio=Fraction(1),
        threads=threads,
    )
    with SegmentWriter(path, spec) as writer:
        for number in range(48):
            writer.write(draw_frame(ClipSpec(size=SIZE, pixel_format=pixel_format), number), number)
        writer.finish()
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"])
def test_old_memory_does_not_decide_bytes(tmp_path: Path, codec: str) -> None:
    """Processes in which glibc fills new memory with other bytes write the same file."""
    if not encoder_formats(codec):
        pytest.skip(f"this build of FFmpeg has no {codec}")
    digests = set[str]()
    for filling in ("1", "200"):
        path = tmp_path / f"{filling}.mkv"
        subprocess.run(
            [sys.executable, "-m", __name__, str(path), codec],
            env={**os.environ, "MALLOC_PERTURB_": filling},
            cwd=Path(__file__).parents[3],
            check=True,
        )
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("codec", ["libsvtav1", "prores_ks", "ffv1"])
def test_threads_do_not_decide_bytes_of_some(tmp_path: Path, codec: str) -> None:
    """Machines of any size write the same file with these; x264, x265 and VP9 do not promise it."""
    if not encoder_formats(codec):
        pytest.skip(f"this build of FFmpeg has no {codec}")
    assert len({_written(tmp_path / "v.mkv", codec, threads) for threads in (1, 2, 8)}) == 1


if __name__ == "__main__":
    _written(Path(sys.argv[1]), sys.argv[2])
