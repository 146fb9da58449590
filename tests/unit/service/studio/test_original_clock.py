"""The clock of an original beside its dubbed video."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.service.studio.original_clock import original_clock
from tests.support.task_context import Bench


@pytest.mark.parametrize("on_error", ["fail", "salvage"])
def test_both_run_alike_where_nothing_is_left_out(tmp_path: Path, on_error: str) -> None:
    """A video that is salvaged has a frame index of its own name, and runs on one clock with its original too."""
    bench = Bench(tmp_path, source={"on_error": on_error})
    probed = bench.planned()
    found = original_clock(bench.store, probed.job_id, str(probed.identity["video"]))
    assert found is not None
    assert found.fps == 25
    assert found.clock == [(0.0, 0.0), (0.76, 0.76)]
    assert original_clock(bench.store, "0" * 24, str(probed.identity["video"])) is None
