"""Rows of a run on an engine that does what the test says."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    PLAN,
    PROBE,
    RENDER,
    AssembleResult,
    PlanResult,
    RenderResult,
    SoundResult,
)
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.ending import Ending
from lipwise_ray.scheduler.row_job import RowJob
from lipwise_ray.scheduler.run import Run
from lipwise_ray.scheduler.task import Task, TaskResult
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Span
from tests.support.dub import Quiet
from tests.support.scripted import Clock, ScriptedEngine
from tests.support.tasks import probe_result, row_part

CHUNK = 10


class Rows:
    """Rows of so many chunks each, and what their tasks give."""

    def __init__(self, root: Path, chunks: list[int], *, most_chunks: int, most_rows: int = 0) -> None:
        self.chunks = chunks
        self.engine = ScriptedEngine(lambda task, n, slot: None, pick=lambda n: n - 1)
        self.engine.answer = self._answer
        self.ids = {row: f"r{row}" for row in range(len(chunks))}
        self.store, clock = LocalStore(root), Clock()
        store = self.store
        ledger = Ledger(store, "run")
        dispatcher = Dispatcher(self.engine, store, ledger, clock=clock, sleep=clock.sleep)
        self.lease = DriverLease(store, "run", wait=lambda text: None)
        self.listener = Quiet()
        self.run = Run("run", store, store, dispatcher, ledger, self.lease, self.listener, most_rows, most_chunks)

    def work(self, ending: Ending | None = None) -> None:
        jobs = (
            RowJob(
                row,
                self.ids[row],
                RowFlow(row, 0, 0, "", row_part(f"r{row}")),
            )
            for row in range(len(self.chunks))
        )
        with self.lease:
            self.run.work(jobs, ending or Ending(240.0))

    @staticmethod
    def row_of(task: Task) -> int:
        return int(task.row_id.removeprefix("r"))

    def _answer(self, task: Task) -> TaskResult:
        row = self.row_of(task)
        count = self.chunks[row]
        if task.kind is PROBE:
            return probe_result(f"j{row}", count * CHUNK)
        if task.kind is PLAN:
            return PlanResult(chunks=tuple(Span(n * CHUNK, (n + 1) * CHUNK) for n in range(count)))
        if task.kind is ASSEMBLE:
            facts = {"frames": count * CHUNK, "chunks": count, "bytes_total": 5, "sha256": "0" * 64}
            return AssembleResult(published=DubResult(job_id=f"j{row}", output="o", **facts))
        return RenderResult(frames=CHUNK) if task.kind is RENDER else SoundResult(copied=True)
