"""A run drives whatever is a flow, and tells whatever listens: neither need be of videos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.ending import Ending
from lipwise_ray.scheduler.flow import Flow, Progress
from lipwise_ray.scheduler.listener import Listener
from lipwise_ray.scheduler.row_job import RowJob
from lipwise_ray.scheduler.run import Run
from lipwise_ray.scheduler.task import Failure, Task, TaskResult
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.row_outcome import RowOutcome, RowResult, Tally
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import Clock, ScriptedEngine, make_task

STEPS = 3


@dataclass
class _Counting:
    """Does one task after another, and goes on without the one that is given up."""

    job_id: str
    tenant: str = ""
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    result: RowResult | None = None
    _step: int = 0
    _open: str = ""

    def _next(self) -> list[Task]:
        self._step += 1
        if self._step > STEPS:
            self.result = DubResult(
                job_id=self.job_id, output="o", frames=STEPS, chunks=STEPS, bytes_total=1, sha256="0" * 64
            )
            return []
        self.progress.stage = f"step {self._step}"
        self._open = f"render:{self.job_id}/{self._step}"
        return [make_task(self._open, job=self.job_id)]

    def start(self) -> list[Task]:
        return self._next()

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        del result
        self.progress.done += task.frames
        return self._next()

    def is_past(self, task: Task) -> bool:
        return task.id != self._open

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        del task
        return self._next() if failure.blame == "application" else None


class _Notes:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def run_started(self, run_id: str, engine: str) -> None:
        self.heard.append(f"run {run_id} on {engine}")

    def note(self, text: str) -> None:
        self.heard.append(text)

    def problem(self, text: str) -> None:
        self.heard.append(text)

    def row_started(self, row: int, row_id: str) -> None:
        self.heard.append(f"{row_id} started at {row}")

    def row_ended(self, outcome: RowOutcome) -> None:
        self.heard.append(f"{outcome.row_id} {outcome.status}")

    def tick(self, rows: list[tuple[str, Flow, int]], loading: int) -> None:
        del loading
        assert all(flow.progress.stage.startswith("step") for _, flow, _ in rows)


def _run(root: Path, spoilt: dict[str, str]) -> tuple[ScriptedEngine, Run, list[str]]:
    engine = ScriptedEngine(lambda task, n, slot: spoilt.get(task.id))
    store, clock, notes = LocalStore(root), Clock(), _Notes()
    listener: Listener = notes
    ledger, lease = Ledger(store, "run"), DriverLease(store, "run", wait=lambda text: None)
    dispatcher = Dispatcher(engine, store, ledger, clock=clock, sleep=clock.sleep)
    run = Run("run", store, store, dispatcher, ledger, lease, listener, 0, 100)
    with lease:
        run.work((RowJob(row, f"r{row}", _Counting(f"j{row}")) for row in (1, 2)), Ending(240.0))
    return engine, run, notes.heard


def test_each_row_is_driven_to_its_end_and_told_of_once(tmp_path: Path) -> None:
    """All tasks of a row are done in its own order; it starts and ends once for whoever listens."""
    engine, run, heard = _run(tmp_path, {})
    for job in ("j1", "j2"):
        assert [task for task in engine.log if f":{job}/" in task] == [f"render:{job}/{n + 1}" for n in range(STEPS)]
    assert run.totals["done"] == 2
    rows = [line for line in heard if line.startswith("r1")]
    assert rows == ["r1 started at 1", "r1 done"]


def test_a_flow_decides_whether_its_row_goes_on_without_a_task(tmp_path: Path) -> None:
    """The row that can do without what was given up is done; the other one, whose input is bad, fails alone."""
    engine, run, heard = _run(tmp_path, {"render:j1/2": "application", "render:j2/2": "input"})
    assert "render:j1/3" in engine.log
    assert "render:j2/3" not in engine.log
    assert [line for line in heard if line.endswith(("done", "failed"))] in (
        ["r1 done", "r2 failed"],
        ["r2 failed", "r1 done"],
    )
    assert (run.totals["done"], run.totals["failed"]) == (1, 1)
