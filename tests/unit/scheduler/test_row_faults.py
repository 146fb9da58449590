"""What breaks in a row, or in whoever is told of it, and whom that stops."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipwise_ray.errors import (
    InputError,
    LipwiseError,
    SettingsError,
    SetupError,
    StateError,
    WeightsError,
)
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    PLAN,
    PROBE,
    RENDER,
    PlanResult,
    ScanResult,
    ScoreResult,
)
from lipwise_ray.scheduler.ending import Ending
from lipwise_ray.scheduler.row_job import RowJob
from lipwise_ray.scheduler.task import Blame, Failure, Task, TaskResult
from lipwise_ray.state import layout
from tests.support.rows import Rows
from tests.support.tasks import row_part


class _Breaks(RowFlow):
    """A row whose state machine breaks where the test says."""

    where = ""
    error: Exception = KeyError("x")

    def _broken(self, where: str) -> None:
        if self.where == where:
            raise self.error

    def start(self) -> list[Task]:
        self._broken("start")
        return super().start()

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        self._broken(f"advance {task.kind.name}")
        return super().advance(task, result)

    def is_past(self, task: Task) -> bool:
        self._broken("is_past")
        return super().is_past(task)

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        self._broken("on_failure")
        return super().on_failure(task, failure)


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ("start", None),
        ("advance probe", None),
        ("advance plan", None),
        ("advance render", None),
        ("advance assemble", None),
        ("is_past", None),
        ("on_failure", "crash"),
        ("on_failure", "input"),
    ],
)
def test_a_row_whose_state_machine_breaks_fails_alone(where: str, lost: Blame | None, tmp_path: Path) -> None:
    """What a task gives back, or the row's own logic, may be wrong in any way: that row fails with an internal error
    and a traceback in the events, and the others are done.
    """
    rows = Rows(tmp_path, [2, 2, 2], most_chunks=100)
    rows.engine._script = lambda task, n, slot: lost if task.id == "render:j1/0" else None
    flows = [_Breaks(row, 0, 0, "", row_part(f"r{row}"), shows_originals=True) for row in range(3)]
    flows[1].where = where
    jobs = iter([RowJob(row, f"r{row}", flow) for row, flow in enumerate(flows)])
    with rows.lease:
        rows.run.work(jobs, Ending(240.0))
    ended = {outcome.row_id: outcome.record for outcome in rows.listener.outcomes}
    assert {name: record["status"] for name, record in ended.items()} == {"r0": "done", "r1": "failed", "r2": "done"}
    assert ended["r1"]["code"] == "internal"
    assert "KeyError" in ended["r1"]["message"]
    assert "Traceback" in (tmp_path / layout.events("run")).read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("settings", "row 1", got="wrong"), "settings"),
        (WeightsError("gone", "a.pth", got="not there"), "gone"),
    ],
)
def test_a_rows_own_setting_fails_that_row(error: SetupError, code: str, tmp_path: Path) -> None:
    """What its state machine finds wrong with settings or weights is one row's; a state that cannot be used is not."""
    for culprit in (error, StateError("lost", "state", got="not there")):
        rows = Rows(tmp_path / type(culprit).__name__, [1, 1], most_chunks=100)
        flows = [_Breaks(n, 0, 0, "", row_part(f"r{n}")) for n in range(2)]
        flows[0].where, flows[0].error = "advance probe", culprit
        jobs = iter([RowJob(n, f"r{n}", flow) for n, flow in enumerate(flows)])
        with rows.lease, pytest.raises(StateError) if culprit is not error else nullcontext():
            rows.run.work(jobs, Ending(240.0))
        if culprit is error:
            ended = {outcome.row_id: outcome.record for outcome in rows.listener.outcomes}
            assert (ended["r0"]["code"], ended["r1"]["status"]) == (code, "done")


@pytest.mark.parametrize(
    ("error", "blame"),
    [(SettingsError("settings", "row 1", got="wrong"), "setup"), (InputError("gone", "v", got="not there"), "input")],
)
def test_a_row_that_cannot_be_begun_says_whose_fault_that_is(error: LipwiseError, blame: str, tmp_path: Path) -> None:
    """A setting's is not the row's own."""
    rows = Rows(tmp_path, [], most_chunks=9)
    rows.run.refuse(1, "a", [error])
    (outcome,) = rows.listener.outcomes
    assert (outcome.record["stage"], outcome.record["blame"]) == ("validate", blame)


@pytest.mark.parametrize("where", ["row_started", "row_ended", "problem"])
def test_whoever_is_told_of_a_row_may_break_the_run(where: str, tmp_path: Path) -> None:
    """Their exception is theirs: it ends the call of whoever asked to be told, and no row is failed for it."""
    rows = Rows(tmp_path, [1, 1], most_chunks=100)
    honest = rows.engine.answer
    rows.engine.answer = lambda task: replace(honest(task), problem="worn") if task.kind is PROBE else honest(task)

    def tell(*_: object) -> None:
        raise ZeroDivisionError("of whoever was told")

    setattr(rows.listener, where, tell)
    with pytest.raises(ZeroDivisionError):
        rows.work()
    assert rows.run.totals["failed"] == 0


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_task_answers_ends_its_row_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A field of another type in any answer of one row, or the answer of another task."""
    rows = Rows(tmp_path_factory.mktemp("state"), [1, 1], most_chunks=100)
    honest = rows.engine.answer
    kind = data.draw(st.sampled_from([PROBE, PLAN, RENDER, ASSEMBLE]))
    junk: Any = st.sampled_from([None, -1, "x", [], {}, [None], [[1]], TaskResult()])

    def answer(task: Task) -> TaskResult:
        result = honest(task)
        if task.kind is not kind or rows.row_of(task) != 0:
            return result
        if data.draw(st.booleans()):
            return data.draw(st.sampled_from([TaskResult(), ScoreResult(), PlanResult(), ScanResult()]))
        name = data.draw(st.sampled_from(sorted(one.name for one in fields(result))))
        return replace(result, **{name: data.draw(junk)})

    rows.engine.answer = answer
    rows.work()
    ended = {outcome.row_id: outcome.status for outcome in rows.listener.outcomes}
    assert ended["r1"] == "done"
    assert rows.run.totals["done"] + rows.run.totals["failed"] == 2
