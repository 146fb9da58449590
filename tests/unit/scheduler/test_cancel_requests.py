"""Requests to cancel, as a run finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.scheduler import cancel_requests
from lipwise_ray.scheduler.cancel_requests import CancelRequests
from lipwise_ray.state import layout
from lipwise_ray.state.local import LocalStore


def test_each_request_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows by their names, the whole run without one; the state is looked at once a second."""
    store = LocalStore(tmp_path)
    requests = CancelRequests(store)
    for key in (layout.cancel("r1"), layout.CANCEL_RUN):
        store.write(key, b"{}")
    assert set(requests.taken()) == {"r1", None}
    store.write(layout.cancel("r2"), b"{}")
    assert requests.taken() == []
    monkeypatch.setattr(cancel_requests, "_CHECK_S", 0.0)
    assert requests.taken() == ["r2"]
    assert requests.taken() == []
