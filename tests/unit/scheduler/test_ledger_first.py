"""Nobody works on what the ledger does not know of."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.state import layout
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import Clock, Row, ScriptedEngine, make_task


class Refusing(LocalStore):
    """A store whose logs cannot be written for a while: at once, or when they are flushed."""

    def __init__(self, root: Path, *, appends: int, flushes: int) -> None:
        super().__init__(root)
        self.appends, self.flushes = appends, flushes

    def append(self, key: str, line: bytes, *, may_wait: bool = False) -> None:
        if b"leased" in line and self.appends > 0:
            self.appends -= 1
            if self.appends == 0:
                raise StorageError("state_write", key, got="cannot be written: no room")
        super().append(key, line, may_wait=may_wait)

    def flush(self, *, everything: bool = False) -> None:
        del everything
        if self.flushes > 0:
            self.flushes -= 1
            raise StorageError("store_refused", "logs", got="cannot be written: 503")


def test_what_ended_is_taken_in_though_the_store_refuses(tmp_path: Path) -> None:
    """Three attempts end in one poll and the ledger cannot be written for the first: none of them is forgotten."""

    class Deaf(LocalStore):
        refusals = 0

        def append(self, key: str, line: bytes, *, may_wait: bool = False) -> None:
            if b'"done"' in line and self.refusals:
                self.refusals -= 1
                raise StorageError("store_refused", key, got="cannot be written: 503")
            super().append(key, line, may_wait=may_wait)

    clock, row, store = Clock(), Row(), Deaf(tmp_path)
    engine = ScriptedEngine(lambda task, attempt, slot: None)
    engine.at_once = True
    dispatcher = Dispatcher(engine, store, Ledger(store, "run"), clock=clock, sleep=clock.sleep)
    for number in range(2):
        dispatcher.add(make_task(f"t{number}", chunk=number), row)
    dispatcher.add(make_task("p", "plan"), row)
    store.refusals = 1
    with pytest.raises(StorageError):
        dispatcher.step(1.0)
    assert not dispatcher.running
    assert len(row.done) == 2


@pytest.mark.parametrize(("appends", "flushes"), [(1, 0), (3, 0), (0, 1), (0, 3)])
def test_what_cannot_be_written_down_is_not_handed_out(tmp_path: Path, appends: int, flushes: int) -> None:
    """Two tasks are about to be leased when the ledger refuses, for the first, the second or both: none is begun, none
    is lost, and with room again each is done once.
    """
    clock, row = Clock(), Row()
    store = Refusing(tmp_path, appends=appends, flushes=flushes)
    engine = ScriptedEngine(lambda task, attempt, slot: None)
    dispatcher = Dispatcher(engine, store, Ledger(store, "run"), clock=clock, sleep=clock.sleep)
    for number in range(4):
        dispatcher.add(make_task(f"t{number}", chunk=number), row)
    refused = 0
    while dispatcher.left:
        begun = list(engine.log)
        try:
            dispatcher.step(1.0)
        except StorageError:
            refused += 1
            assert engine.log == begun
            assert set(dispatcher.running) == set(engine.busy)
    assert refused == max(1, flushes)
    assert sorted(row.done) == ["t0", "t1", "t2", "t3"]
    assert sorted(engine.log) == ["t0", "t1", "t2", "t3"]
    written = b"\n".join(store.log(layout.events("run"))).decode()
    assert all(f'"task": "{name}"' in written for name in row.done)
