"""Whatever does tasks can be an engine's worker: it need know nothing of videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipwise_ray.backends.inline import InlineEngine
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import MediaError
from lipwise_ray.pipeline.flows.task_kinds import KINDS
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.scheduler.task import AnyKind, Hints, Task, TaskKind, TaskResult
from lipwise_ray.scheduler.worker_protocol import Capabilities, TaskRunner


@dataclass(frozen=True, slots=True)
class _Number:
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum(TaskResult):
    total: int


COUNT = TaskKind("count", "cpu", 0, _Number, _Sum)


@dataclass(frozen=True)
class _Adding:
    offers: frozenset[str] = frozenset({"adding"})
    fallback: str = ""


@dataclass
class _Adder:
    """Adds up what it is given, and takes no negative numbers."""

    kinds: Mapping[str, AnyKind] = field(default_factory=lambda: {COUNT.name: COUNT})
    frames_done: int = 0

    def prepare(self, jobs: list[Any]) -> Capabilities:
        del jobs
        return _Adding()

    def load(self, jobs: list[Any]) -> None:
        del jobs

    def run(self, kind: AnyKind, payload: _Number, hints: Hints) -> TaskResult:
        assert kind is COUNT
        if payload.value < 0:
            raise MediaError("negative", "number", got="is below 0")
        self.frames_done += payload.value >> hints.batch_halvings
        return _Sum(total=self.frames_done)


def _task(name: str, value: int, **hints: Any) -> Task:
    return Task(name, COUNT, _Number(value), 0, (0,), hints=Hints(**hints))


def test_an_engine_works_with_any_runner(tmp_path: Path) -> None:
    """Results, failures, hints and what it can do go through; a renewed worker has forgotten what it knew."""

    def make(config: WorkerConfig) -> TaskRunner:
        assert config.threads == 1
        return _Adder()

    engine = InlineEngine(WorkerConfig(str(tmp_path), str(tmp_path), "cpu", 1), make)
    engine.start([])
    (slot,) = engine.idle("cpu")
    assert slot.can(_task("a", 1))
    assert slot.offers == {"adding"}
    totals = list[Any]()
    for task in (_task("a", 5), _task("b", -1), _task("c", 4, batch_halvings=1)):
        engine.submit(slot.worker, task)
        (outcome,) = engine.poll(0.0)
        totals.append(outcome.failure.code if outcome.failure else outcome.result.total)  # type: ignore[union-attr]
    assert totals == [5, "negative", 7]
    engine.renew(slot.worker)
    engine.submit(slot.worker, _task("d", 1))
    assert [outcome.result for outcome in engine.poll(0.0)] == [_Sum(total=1)]


def test_the_products_worker_does_every_kind_of_task(tmp_path: Path) -> None:
    """A flow cannot ask for what no worker does."""
    worker: TaskRunner = Worker(WorkerConfig(str(tmp_path / "s"), str(tmp_path / "t"), "cpu", 1))
    assert dict(worker.kinds) == KINDS
    assert worker.frames_done == 0
