"""Figures of a run in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lipwise_ray.engine.metrics import METRICS, FileSink, Meter
from lipwise_ray.errors import SettingsError, StorageError


def _read(path: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(path.read_text())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_everything_is_counted_once(tmp_path: Path) -> None:
    """Tasks by outcome, frames of those that ended well, causes, rows, stages, what waits and who works."""
    path = tmp_path / "run.prom"
    meter = Meter([FileSink(path)])
    meter.ended("render", "done", 250, 4.0)
    meter.ended("render", "crash", 250, 2.0)
    meter.quarantined("render")
    meter.row("done", {"stages_s": {"network": 1.5}})
    meter.row("done", {"stages_s": {"network": 9.0}, "reused": True})
    meter.row("failed", {})
    meter.now({"gpu": 3}, busy=1, idle=0, loading=2, gpu_bytes=1 << 30)
    found = _read(path)
    assert found["lipwise_frames_total", (("task", "render"),)] == 250
    assert found["lipwise_tasks_total", (("outcome", "done"), ("task", "render"))] == 1
    assert found["lipwise_tasks_total", (("outcome", "failed"), ("task", "render"))] == 1
    assert found["lipwise_tasks_total", (("outcome", "quarantined"), ("task", "render"))] == 1
    assert found["lipwise_retries_total", (("cause", "crash"),)] == 1
    assert found["lipwise_rows_total", (("status", "done"),)] == 2
    assert found["lipwise_stage_seconds_total", (("stage", "network"),)] == 1.5
    assert found["lipwise_task_seconds_sum", (("task", "render"),)] == 6.0
    assert found["lipwise_queue_depth", (("lane", "gpu"),)] == 3
    assert found["lipwise_workers", (("state", "loading"),)] == 2
    assert found["lipwise_gpu_memory_bytes", ()] == 1 << 30
    meter.close()
    after = _read(path)
    assert after["lipwise_queue_depth", (("lane", "gpu"),)] == 0
    assert after["lipwise_workers", (("state", "loading"),)] == 0
    assert after["lipwise_frames_total", (("task", "render"),)] == 250
    assert {
        name.split("_total")[0] for name, _ in found if "task_seconds" not in name and "created" not in name
    } == set(METRICS) - {"lipwise_task_seconds"}


@pytest.mark.parametrize("name", ["run.txt", "missing/run.prom"])
def test_a_place_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    """The collector reads .prom files of a folder that is there."""
    with pytest.raises(SettingsError, match=r"engine\.metrics_file: must be a \.prom file in a folder"):
        FileSink(tmp_path / name)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "d").mkdir()
    meter = Meter([FileSink(tmp_path / "d" / "run.prom")])
    (tmp_path / "d").rmdir()
    with pytest.raises(StorageError, match=r"run\.prom: must be writable"):
        meter.flush()
