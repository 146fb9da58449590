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


def _written(path: Path, codec: str) -> None:
    spec = EncodeSpec(
        codec=codec,
        quality=20,
        preset="medium",
        keyframe_frames=50,
        pixel_format="yuv420p",
        size=SIZE,
        rate=RATE,
        time_base=1 / RATE,
        color=ColorTags(),
        sample_aspect_ratio=Fraction(1),
        threads=2,
    )
    with SegmentWriter(path, spec) as writer:
        for number in range(48):
            writer.write(draw_frame(ClipSpec(size=SIZE), number), number)
        writer.finish()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"])
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


if __name__ == "__main__":
    _written(Path(sys.argv[1]), sys.argv[2])
