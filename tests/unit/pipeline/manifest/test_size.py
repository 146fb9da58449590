"""Manifests of very many rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_READ = """
import resource, sys
from pathlib import Path
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
manifest = read_manifest(Path(sys.argv[1]), sys.argv[2], [])
waiting, at_work = manifest.waiting(), __import__("collections").Counter()
begun = 0
while waiting.take(at_work) is not None:
    begun += 1
print(manifest.good, begun, manifest.bad, sum(1 for _ in manifest.problems))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("most", "most_mib"), [(8_000, 10), pytest.param(100_000, 20, marks=pytest.mark.slow)])
def test_many_rows_take_no_memory(most: int, most_mib: int, tmp_path: Path) -> None:
    """Thousands of rows are read, checked against each other and handed out, in a few MiB more than 1,000."""
    (tmp_path / "v.mp4").touch()
    (tmp_path / "a.wav").touch()
    peaks: list[int] = []
    for count in (1_000, most):
        rows = "".join(f"r{n},v.mp4,a.wav,o/{n}.mp4,show{n % 9}\n" for n in range(count))
        (tmp_path / "m.csv").write_text(f"id,video,audio,output,tags\n{rows}again,v.mp4,a.wav,o/0.mp4,\n")
        words = [sys.executable, "-c", _READ, str(tmp_path / "m.csv"), str(tmp_path / "out")]
        said, peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        assert said == f"{count - 1} {count - 1} 2 2"
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < most_mib << 10
