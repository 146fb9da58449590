"""Figures of a run in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lipwise_ray.errors import SettingsError, StorageError
from lipwise_ray.runs.night_record import earlier_nights, write_metrics
from lipwise_ray.scheduler.metrics import METRICS, STATE_LABEL, FileSink, Meter, NightFacts
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.run_records import NightFigures
from lipwise_ray.state.store import LocalStore, to_json

STATE = "s3://bucket/state"


def _read(path: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every figure by its name and labels, but for the state, which all have."""
    samples = [one for family in text_string_to_metric_families(path.read_text()) for one in family.samples]
    assert {one.labels.pop(STATE_LABEL) for one in samples} <= {STATE}
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}


def test_everything_is_counted_once(tmp_path: Path) -> None:
    """Tasks by outcome, frames of those that ended well, causes, rows, stages, what waits and who works."""
    path = tmp_path / "run.prom"
    meter = Meter([FileSink(path)], state_address=STATE, rows=5)
    meter.ended("render", "done", 250, 4.0)
    meter.ended("render", "crash", 250, 2.0)
    meter.quarantined("render")
    result = DubResult(
        job_id="j", output="a.mp4", frames=1, chunks=1, bytes_total=5, sha256="0" * 64, stages_s={"network": 1.5}
    )
    meter.row("done", result)
    meter.row("done", replace(result, stages_s={"network": 9.0}, reused=True))
    meter.row("failed", RowFailure(code="no_face"))
    meter.now({"gpu": 3}, busy=1, idle=0, loading=2, gpu_bytes=1 << 30, fallbacks=2, lease_age_s=20.0)
    found = _read(path)
    assert found["lipwise_rows_left", ()] == 2
    assert found["lipwise_run_rows", (("status", "done"),)] == 2
    assert found["lipwise_run_rows", (("status", "failed"),)] == 1
    assert found["lipwise_run_quarantined", ()] == 1
    assert found["lipwise_run_fallbacks", ()] == 2
    assert 19 < time.time() - found["lipwise_lease_beat_timestamp_seconds", ()] < 25
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
    assert (after["lipwise_rows_left", ()], after["lipwise_lease_beat_timestamp_seconds", ()]) == (2, 0)
    assert {
        name.split("_total")[0] for name, _ in found if "task_seconds" not in name and "created" not in name
    } == set(METRICS) - {"lipwise_task_seconds"}


@pytest.mark.parametrize(
    ("name", "happened"),
    [("run.txt", r"\S+/run\.txt does not end in \.prom"), ("missing/run.prom", r"no folder \S+/missing")],
)
def test_a_place_that_cannot_be_is_refused(name: str, happened: str, tmp_path: Path) -> None:
    """The collector reads .prom files of a folder that is there."""
    with pytest.raises(SettingsError, match=rf"^engine\.metrics_file: {happened}\.$"):
        FileSink(tmp_path / name)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "d").mkdir()
    meter = Meter([FileSink(tmp_path / "d" / "run.prom")])
    (tmp_path / "d").rmdir()
    with pytest.raises(StorageError, match=r"run\.prom: cannot be written: no such file or directory"):
        meter.flush()


class _Kept:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        assert labels[STATE_LABEL] == STATE
        self.figures[name] = value

    def flush(self) -> None:
        pass


def test_a_nights_runs_show_the_night(tmp_path: Path) -> None:
    """A cluster shows when the night began and the last good one ended; a file does not, as the night's own does."""
    kept, file = _Kept(), tmp_path / "run.prom"
    meter = Meter([kept, FileSink(file)], state_address=STATE, night=NightFacts(1000.0, 500.0))
    meter.now({}, busy=0, idle=0, loading=0, gpu_bytes=0)
    assert kept.figures["lipwise_night_begin_timestamp_seconds"] == 1000
    assert kept.figures["lipwise_night_last_success_timestamp_seconds"] == 500
    assert kept.figures["lipwise_night_running"] == 1
    assert "lipwise_night" not in file.read_text()


def test_a_night_that_is_on_keeps_the_figures_of_the_one_before(tmp_path: Path) -> None:
    """Its file says that it runs and since when, and what the latest one that ended came to."""
    store = LocalStore(tmp_path / "state")
    store.write("nights/20260101T000000-a/night.json", to_json({"ended": 500.0, "exit_code": 0, "done": 9}))
    store.write("nights/20260102T000000-b/night.json", to_json({"ended": 700.0, "exit_code": 1, "failed": 3}))
    earlier = earlier_nights(store)
    assert (earlier.success_s, earlier.latest) == (500.0, NightFigures(ended=700.0, exit_code=1, failed=3))
    facts = NightFacts(1000.0, earlier.success_s)
    found = _read(write_metrics(tmp_path / "m.prom", STATE, facts, earlier.latest, is_running=True))
    assert (found["lipwise_night_running", ()], found["lipwise_night_begin_timestamp_seconds", ()]) == (1, 1000)
    assert found["lipwise_night_exit_code", ()] == 1
    assert found["lipwise_night_rows", (("state", "failed"),)] == 3
    assert found["lipwise_night_last_success_timestamp_seconds", ()] == 500


def test_the_first_night_has_none_before_it(tmp_path: Path) -> None:
    """Figures that nobody knows are not shown."""
    earlier = earlier_nights(LocalStore(tmp_path / "state"))
    found = _read(write_metrics(tmp_path / "m.prom", STATE, NightFacts(1000.0, None), earlier.latest, is_running=True))
    assert {name for name, _ in found} == {"lipwise_night_begin_timestamp_seconds", "lipwise_night_running"}
