"""A run of rows that an earlier one had done: they are looked at in batches, and what has changed goes the long way."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks.driver import PASSTHROUGH, submit
from benchmarks.scale import UNJUDGED
from benchmarks.scripted_workers import Marks, ScriptedWorkers
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.reports.rows import collect
from lipwise_ray.runs import submit as submit_module
from lipwise_ray.runs.report import Report
from lipwise_ray.scheduler import cancel_requests
from lipwise_ray.scheduler.engine import Outcome
from lipwise_ray.scheduler.task import Task
from lipwise_ray.state import layout
from lipwise_ray.state.overview import overview
from lipwise_ray.state.store import open_store

ROWS, CHUNKS = 450, 2
_CONTENT = b"as it was"


class Watched(ScriptedWorkers):
    """Scripted workers that keep what they were asked for, and let a test look on."""

    kinds: Counter[str]
    rows: set[str]
    look_on: Callable[[int], None]
    polls = 0

    def submit(self, worker: str, task: Task) -> None:
        self.kinds[task.kind.name] += 1
        if task.kind.name != "recheck":
            self.rows.add(task.row_id)
        super().submit(worker, task)

    def poll(self, timeout_s: float) -> list[Outcome]:
        self.polls += 1
        self.look_on(self.polls)
        return super().poll(timeout_s)


class Case:
    """A folder with a manifest of many rows, of which each has an output and some have an input of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kinds: Counter[str] = Counter()
        self.rows: set[str] = set()
        for file in (folder / name for name in ("v.mp4", "own.mp4", "a.wav")):
            if not file.exists() or file.read_bytes() != _CONTENT:
                file.write_bytes(_CONTENT)
        self.manifest()

    def manifest(self, lengths: dict[int, str] | None = None, first: str = "") -> None:
        lines = ["id,video,audio,output,faces,length", *([first] if first else [])]
        for row in range(ROWS):
            video, length = "own.mp4" if row == 5 else "v.mp4", (lengths or {}).get(row, "")
            lines.append(f'r{row},{video},a.wav,{row % 7}/{row}.mp4,"box:0,9,0,9",{length}')
        (self.folder / "m.csv").write_text("\n".join(lines))

    def run(
        self,
        *sets: str,
        stop: Callable[[], bool] = lambda: False,
        look_on: Callable[[int], None] = lambda _: None,
    ) -> Report:
        self.kinds, self.rows = Counter(), set()

        def make(config: WorkerConfig) -> Watched:
            engine = Watched(config, 1, CHUNKS, lambda _: False, Marks())
            engine.kinds, engine.rows, engine.look_on = self.kinds, self.rows, look_on
            return engine

        return submit(self.folder, self.folder / "m.csv", "out", make, PASSTHROUGH, UNJUDGED, *sets, stop=stop)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all rows were done once."""
    folder = tmp_path_factory.mktemp("done")
    assert Case(folder).run().done == ROWS
    return folder


@pytest.fixture
def case(done: Path) -> Case:
    """The same, with everything in order again: what a test changed is as it was, and looks so to nobody."""
    case = Case(done)
    case.run()
    return case


def test_rows_that_are_done_cost_a_batch_one_task_and_two_events(case: Case) -> None:
    """All of them are in the report, in the run's outcomes and in the summary, as reused; nothing is rendered."""
    report = case.run()
    assert (report.done, report.chunks_reused, report.chunks_rendered) == (ROWS, ROWS * CHUNKS, 0)
    assert case.kinds == {"recheck": 3}
    store = open_store(report.state)
    assert sum(1 for _ in store.log(layout.events(report.run_id))) == 2 * 3
    assert [row.row for row in report.rows] == [*range(2, ROWS + 2)]
    assert all(row.tally and row.tally.chunks_reused == CHUNKS for row in report.rows)
    collected = collect(store)
    assert [row["row_id"] for row in collected.rows] == [f"r{row}" for row in range(ROWS)]
    assert all(row["reused"] and row["attempts"] == 0 for row in collected.rows)
    assert not [*collected.left]
    summary = overview(report.state)
    assert (summary.done, summary.failures) == (ROWS, [])


def test_what_has_changed_goes_the_long_way(case: Case) -> None:
    """A row of another input, one without its output, and one of another setting; the others are left alone."""
    (case.folder / "own.mp4").write_bytes(b"different")  # as long as it was
    os.utime(case.folder / "own.mp4", ns=(1, 1))
    (case.folder / "out" / "0" / "7.mp4").unlink()
    case.manifest({9: "video"})
    report = case.run()
    assert case.rows == {"r5", "r7", "r9"}
    assert case.kinds["probe"] == 3
    assert (report.done, report.chunks_rendered) == (ROWS, 3 * CHUNKS)


def test_another_setting_of_the_run_changes_every_row(case: Case) -> None:
    """How the engine works does not: with more attempts or other workers the same rows are done."""
    assert case.run("engine.application_attempts=7").done == ROWS
    assert case.kinds == {"recheck": 3}
    case.run("encode.quality=30", stop=lambda: len(case.rows) > 1)
    assert not case.kinds["recheck"]


def test_rows_that_moved_in_the_manifest_are_known(case: Case) -> None:
    """A row before them shifts all lines: it alone is begun, and outcomes have the lines of today."""
    case.manifest(first='new,v.mp4,a.wav,new.mp4,"box:0,9,0,9",')
    report = case.run()
    assert case.rows == {"new"}
    assert [(row.row, row.row_id) for row in report.rows][:3] == [(2, "new"), (3, "r0"), (4, "r1")]


@pytest.mark.slow
def test_logs_that_cannot_be_read_cost_nothing_but_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row goes the long way then, and is found done all the same."""

    def refuse(*_: object) -> NoReturn:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(submit_module, "DoneRows", refuse)
    report = case.run()
    assert report.done == ROWS
    assert case.kinds["probe"] == ROWS
    assert not case.kinds["recheck"]


def test_a_driver_that_is_killed_in_a_batch_leaves_nothing_half_done(case: Case) -> None:
    """The batches that had ended stay in its record; the next run goes through all rows again and renders none."""

    def killed(polls: int) -> None:
        if polls == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.run(look_on=killed)
    assert overview(str(case.folder / "out.state")).done == 200
    report = case.run()
    assert (report.done, report.chunks_rendered, case.kinds) == (ROWS, 0, {"recheck": 3})


def test_a_stop_ends_after_the_batches_that_are_looked_at(case: Case) -> None:
    """Rows of batches that were not handed out are left, and nothing is lost."""
    report = case.run(stop=lambda: case.kinds["recheck"] > 0)
    assert (report.done, report.left, report.failed) == (200, ROWS - 200, 0)


def test_a_row_that_is_cancelled_in_its_batch_fails_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its batch are done."""
    monkeypatch.setattr(cancel_requests, "_CHECK_S", 0.0)
    store = open_store(str(case.folder / "out.state"))

    def cancel(polls: int) -> None:
        if polls == 1:
            store.write(layout.cancel("r300"), b"{}")

    with pytest.raises(RuntimeError, match="failed=1"):
        case.run(look_on=cancel)
    summary = overview(store.address)
    assert (summary.done, [row.row_id for row in summary.failures]) == (ROWS - 1, ["r300"])
