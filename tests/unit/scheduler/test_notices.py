"""Notices on a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.scheduler.notices import RunNotices
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, read_json, to_json
from tests.support.dub import Quiet

RECORD = layout.run_record("run1")


def test_fallbacks_are_told_of_once_and_stay_in_the_record(tmp_path: Path) -> None:
    """Those of workers that begin later come to the first; what else the record holds stays."""
    store, listener = LocalStore(tmp_path), Quiet()
    store.write(RECORD, to_json({"run_id": "run1", "of_a_later_version": 1}))
    notices = RunNotices("run1", store, listener)
    for reported in ([], ["one"], ["one", "two"], ["two"]):
        notices.fell_back(reported)
    assert listener.lines == ["note: one", "note: two"]
    assert read_json(store, RECORD) == {"run_id": "run1", "of_a_later_version": 1, "fallbacks": ["one", "two"]}
    assert notices.fallbacks == ("one", "two")


def test_a_record_that_is_gone_stays_so(tmp_path: Path) -> None:
    """Where somebody removed a run's record meanwhile, a fallback is still told of."""
    listener = Quiet()
    RunNotices("run1", LocalStore(tmp_path), listener).fell_back(["one"])
    assert listener.lines == ["note: one"]
    assert not list(tmp_path.rglob("run.json"))


class Full(LocalStore):
    """A store that takes nothing while its disk is full."""

    is_full = True

    def write(self, key: str, data: bytes) -> None:
        """Write a record, where there is room."""
        if self.is_full:
            raise StorageError("disk", str(self.root), got="no space left")
        super().write(key, data)


def test_a_state_that_refuses_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a problem that is told of once, and no reason to lose the fallback; it is not asked at once."""
    store, listener = Full(tmp_path), Quiet()
    LocalStore(tmp_path).write(RECORD, to_json({"run_id": "run1"}))
    notices = RunNotices("run1", store, listener)
    notices.fell_back(["one"])
    notices.fell_back(["one"])
    assert [line.partition(":")[0] for line in listener.lines] == ["note", "error"]
    monkeypatch.setattr(Full, "is_full", False)
    notices.fell_back(["one"])
    assert "fallbacks" not in (read_json(store, RECORD) or {})
    monkeypatch.setattr(notices, "_again_s", 0.0)
    notices.fell_back(["one"])
    assert (read_json(store, RECORD) or {})["fallbacks"] == ["one"]
