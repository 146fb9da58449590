"""`benchmarks/gpu.sh`: on a GPU it has 8 minutes, so it must not fail there for the first time."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from benchmarks.gpu import OTHER_LIPS, GpuBusy
from tests.conftest import ROOT


@pytest.mark.slow
def test_the_script_goes_its_whole_way_on_a_cpu() -> None:
    """Tests are found, frames agree, networks and whole dubs are measured, and nothing outside of faces is touched."""
    words = ["sh", str(ROOT / "benchmarks" / "gpu.sh"), "--cpu", "--quick"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_gpu.py::" in done.stdout
    apart, touched = re.findall(r"device and CPU (\d+) levels apart, (\d+) bytes changed outside", done.stdout)[0]
    assert int(apart) <= 1
    assert touched == "0"
    assert re.search(r"wav2lip float32 +batch 2: \d+ faces/s no graph", done.stdout)
    for preset in ("fast", "quality"):
        assert re.search(rf"144p {preset}: \d+\.\d frames/s", done.stdout)
    for model in OTHER_LIPS:
        assert re.search(rf"144p fast by {model}: \d+\.\d frames/s", done.stdout)
    assert len(re.findall(r"composite +\d+\.\d\d s busy", done.stdout)) == 2 + len(OTHER_LIPS)


def test_a_gpu_is_busy_between_its_first_and_its_last_work() -> None:
    """The idle time in which networks are loaded does not count; where nobody reports, that is said."""
    busy = GpuBusy()
    assert "not measured" in str(busy)
    busy._samples += [0, 0, 90, 0, 60, 0, 0]
    assert str(busy) == "GPU busy 50 % of 0.6 s (median 60 %)"
