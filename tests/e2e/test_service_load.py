"""Many clients at once: `lipwise-ray serve` does every job once, and holds no more memory for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import service

_JOBS = 40


@pytest.mark.slow
def test_many_clients_at_once(tmp_path: Path) -> None:
    """Each job ends with an output of its own, nothing is rendered twice, and memory stays as it was at half."""
    seen = service.measured(tmp_path, _JOBS, clients=8, look_every_s=0.25)
    assert seen.statuses == {"COMPLETED": _JOBS}
    assert seen.outputs == _JOBS
    assert seen.renders == {1: _JOBS}
    half, end = seen.memory[-2:]
    assert end.web_mib < half.web_mib * 1.15 + 10
    assert end.driver_mib < half.driver_mib * 1.15 + 20
    assert end.web_threads <= half.web_threads + 8
