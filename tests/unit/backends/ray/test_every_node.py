"""One question to every node: those that answer, those that cannot, and those that never do."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import ray
from ray.exceptions import RayError

from lipwise_ray.backends.ray import every_node
from lipwise_ray.backends.ray.every_node import NodeAnswer, ask_every_node, computes_here

NODES = [
    {"NodeID": "a" * 56, "Alive": True, "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 4.0, "GPU": 2.0}},
    {"NodeID": "b" * 56, "Alive": True, "NodeManagerAddress": "10.0.0.2", "Resources": {}},
    {"NodeID": "c" * 56, "Alive": False, "NodeManagerAddress": "10.0.0.3", "Resources": {"CPU": 4.0}},
    {"NodeID": "d" * 56, "Alive": True, "NodeManagerAddress": "10.0.0.4", "Resources": {"CPU": 4.0}},
]
BROKEN, SILENT = "b" * 56, "d" * 56


class _Remote:
    """A task of Ray's, whose calls are pairs of a node and what is asked there."""

    def __init__(self, asked: Callable[[], Any], node: str = "") -> None:
        self._asked, self._node = asked, node

    def options(self, *, scheduling_strategy: Any, **_: Any) -> _Remote:
        return _Remote(self._asked, scheduling_strategy.node_id)

    def remote(self) -> tuple[str, Callable[[], Any]]:
        return self._node, self._asked


def _get(call: tuple[str, Callable[[], Any]]) -> Any:
    if call[0] == BROKEN:
        raise RayError("traceback\nModuleNotFoundError: lipwise_ray")
    value, there_s = call[1]()
    return value, there_s + 30.0  # its clock is ahead


@pytest.fixture(autouse=True)
def _cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four nodes, of which one is dead, one breaks and one says nothing."""
    monkeypatch.setattr(every_node, "connected", lambda address: nullcontext())
    monkeypatch.setattr(ray, "nodes", lambda: NODES)
    monkeypatch.setattr(ray, "remote", _Remote)
    monkeypatch.setattr(ray, "get", _get)

    def wait(calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        ready = [call for call in calls if call[0] != SILENT][:1]
        if not ready:
            time.sleep(timeout)
        return ready, [call for call in calls if call not in ready]

    monkeypatch.setattr(ray, "wait", wait)


def test_each_living_node_is_answered_for_once() -> None:
    """Its answer with its GPUs and how far its clock is off; or the last line of what went wrong; or its silence."""
    found: list[NodeAnswer[str]] = list(ask_every_node("auto", lambda: "well", most_s=0.1))
    assert [one.node for one in found] == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    well, broken, silent = found
    assert (well.value, well.gpus, well.problem) == ("well", 2.0, "")
    assert well.skew_s == pytest.approx(30.0, abs=5)
    assert (broken.value, broken.problem) == (None, "ModuleNotFoundError: lipwise_ray")
    assert (silent.value, silent.problem) == (None, "no answer in 0 s")


@pytest.mark.parametrize(("node", "computes"), [("a" * 56, True), ("b" * 56, False), ("d" * 56, True)])
def test_a_node_without_cpus_and_gpus_runs_drivers_only(
    node: str, *, computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks of what rendering needs are left out there."""

    class Context:
        def get_node_id(self) -> str:
            return node

    monkeypatch.setattr(ray, "get_runtime_context", Context)
    assert computes_here() is computes
