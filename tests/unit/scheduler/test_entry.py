"""A worker need not look for what nobody can have made, and looks for what somebody may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.entry import Done
from lipwise_ray.scheduler.retry_policy import Budgets
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import Clock, Row, ScriptedEngine, make_task


def _told(engine: ScriptedEngine) -> list[bool]:
    return [hints.may_be_done for hints in engine.hints]


def _dispatcher(engine: ScriptedEngine, folder: Path) -> Dispatcher:
    clock, store = Clock(), LocalStore(folder)
    return Dispatcher(engine, store, Ledger(store, "run"), Budgets(), clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("blame", ["application", "crash", "node", "stalled"])
def test_a_later_attempt_looks(blame: str, tmp_path: Path) -> None:
    """The first one need not; its worker may have been lost after it had finished."""
    engine = ScriptedEngine(lambda task, attempt, slot: blame if attempt == 1 else None)
    dispatcher = _dispatcher(engine, tmp_path)
    dispatcher.add(make_task("t"), Row())
    while dispatcher.left:
        dispatcher.step(1.0)
    assert _told(engine) == [False, True]


def test_equal_work_that_has_ended_is_looked_for(tmp_path: Path) -> None:
    """Another row found it missing before the first one's ended."""
    engine = ScriptedEngine(lambda task, attempt, slot: None)
    dispatcher = _dispatcher(engine, tmp_path)
    for _ in range(2):
        dispatcher.add(make_task("t"), Row())
        while dispatcher.left:
            dispatcher.step(1.0)
    assert _told(engine) == [False, True]


def test_only_what_was_found_missing_is_surely_so() -> None:
    """A task that says nothing is looked for, whoever hands it out."""
    assert Hints(is_missing=True).is_surely_missing
    assert not Hints().is_surely_missing
    assert not Hints(is_missing=True, may_be_done=True).is_surely_missing


def test_memory_of_what_ended_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr("lipwise_ray.scheduler.entry._MOST_REMEMBERED", 2)
    done = Done()
    for name in "abc":
        done.add(name)
    assert [name in done for name in "abc"] == [False, True, True]
