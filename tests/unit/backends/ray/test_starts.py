"""Workers that do not begin: when a node is left out, and what people are told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from ray.exceptions import RuntimeEnvSetupError

from lipwise_ray.backends.own_memory import own_memory
from lipwise_ray.backends.ray import crew as ray_crew
from lipwise_ray.backends.ray import engine as ray_engine
from lipwise_ray.backends.ray.actors import Pulse
from lipwise_ray.backends.ray.engine import RayEngine
from lipwise_ray.backends.ray.slots import ActorSlot
from lipwise_ray.backends.ray.starts import MOST_FAILED, UNKNOWN, Starts, late, no_environment, words_of_start
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import SetupError
from lipwise_ray.settings.model import EngineSettings


def test_a_node_is_left_out_for_a_lane_after_its_starts_failed() -> None:
    """Each lane counts for itself; one that begins forgives what was before; the latest reason is the run's."""
    starts = Starts()
    for _ in range(MOST_FAILED):
        assert not starts.is_broken("gpu", "a")
        starts.failed("gpu", "a", OSError("first line\nno memory"))
    assert starts.is_broken("gpu", "a")
    assert not starts.is_broken("cpu", "a")
    assert (starts.error().code, starts.error().got) == ("worker_start", "did not start: no memory")
    starts.begun("gpu", "a")
    assert not starts.is_broken("gpu", "a")
    wrong = SetupError("bad_weights", "x", got="cut off")
    starts.failed("cpu", "b", wrong, for_good=True)
    assert starts.is_broken("cpu", "b")
    assert starts.error() is wrong


def test_the_end_of_a_log_is_quoted(tmp_path: Path) -> None:
    """The worker's own log counts where it came to have one, else what Ray's processes say on its node."""
    scratch, ray_logs = tmp_path / "scratch", tmp_path / "ray"
    (scratch / "logs").mkdir(parents=True)
    ray_logs.mkdir()
    assert words_of_start(str(scratch), "gpu-1", str(ray_logs)) == (False, "")
    (ray_logs / "raylet.err").write_text("bash: not found\n")
    (ray_logs / "worker-1-2-3.err").write_text("")
    assert words_of_start(str(scratch), "gpu-1", str(ray_logs)) == (False, "bash: not found")
    (scratch / "logs" / "gpu-10-7.log").write_text("another worker's")
    old = scratch / "logs" / "gpu-1-6.log"
    old.write_text("of an earlier process")
    os.utime(old, (1, 1))
    (scratch / "logs" / "gpu-1-7.log").write_text("".join(f"line {n}\n\n" for n in range(20)))
    begun, words = words_of_start(str(scratch), "gpu-1", str(ray_logs))
    assert begun
    assert words.splitlines() == [f"line {n}" for n in range(14, 20)]
    assert "\n    line 19\nCheck" in str(late("gpu-1", "node", 5.0, words))
    assert "It left no log" in str(late("gpu-1", "node", 5.0, ""))


def test_an_embedded_worker_that_fetches_checkpoints_is_not_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counter moves; one whose process left no log yet is not even asked."""
    engine = object.__new__(RayEngine)
    engine._local, engine._config = True, WorkerConfig(str(tmp_path), str(tmp_path), "cpu", 1)
    engine._settings = EngineSettings(start_s=1.0)
    memory = own_memory("gpu-0", "here")
    pulses = iter([Pulse(5, memory), Pulse(9, memory), Pulse(9, memory)])
    monkeypatch.setattr(ray_engine.ray, "get", lambda answer, timeout: next(pulses))
    slot = ActorSlot("gpu-0", "gpu", MagicMock(), node="here", made_s=-100.0)
    assert engine._is_late(slot)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gpu-0-7.log").write_text("fetching")
    found: list[bool] = []
    for _ in range(3):
        slot.made_s = -100.0
        found.append(engine._is_late(slot))
    assert found == [False, False, True]


def _engine_of_a_cluster(said: list[str], now_s: list[float], *nodes: str) -> RayEngine:
    engine = object.__new__(RayEngine)
    engine._local, engine._starts, engine._say, engine._slots = False, Starts(lambda: now_s[0]), said.append, {}
    engine._settings = EngineSettings(start_s=60.0)
    alive = {name: SimpleNamespace(id=name, cpus=4, gpus=0) for name in nodes}
    engine._nodes = cast("Any", SimpleNamespace(alive=lambda: alive, is_gone=lambda node: node not in alive))
    return engine


def test_a_node_without_the_runs_environment_is_left_out_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of at once. Where it is the only one, others get the time of a start to come; then the run ends and
    says that it was no want of memory.
    """
    monkeypatch.setattr(ray_engine.ray, "kill", lambda actor, no_restart: None)
    said: list[str] = []
    now_s = [0.0]
    engine = _engine_of_a_cluster(said, now_s, "late", "good")
    error = RuntimeEnvSetupError("Failed to unpack.\nNo space left on device.")
    for number in range(MOST_FAILED):
        engine._failed_to_begin(ActorSlot(f"gpu-{number}", "gpu", None, node="late"), error)
    assert engine._starts.broken("gpu") == ["late"]
    assert "node late: could not unpack the program and the run's files: No space left on device" in said[0]
    alone = _engine_of_a_cluster(said, now_s, "late")
    for number in range(MOST_FAILED):
        alone._failed_to_begin(ActorSlot(f"gpu-{number}", "gpu", None, node="late"), error)
    now_s[0] = 59.0
    alone._must_have_a_way("gpu")
    now_s[0] = 60.0
    with pytest.raises(SetupError, match=r"node late: could not unpack") as raised:
        alone._must_have_a_way("gpu")
    assert raised.value.code == "worker_environment"
    assert "emory" not in str(raised.value)


def test_a_worker_that_failed_on_a_node_that_is_gone_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any node the run waits for the next; where Ray chose the node and each try fails, it ends."""
    monkeypatch.setattr(ray_engine.ray, "kill", lambda actor, no_restart: None)
    error = OSError("Failed.")
    empty = _engine_of_a_cluster([], [0.0])
    for number in range(MOST_FAILED + 1):
        empty._failed_to_begin(ActorSlot(f"gpu-{number}", "gpu", None, node=UNKNOWN), cast("Any", error))
    full = _engine_of_a_cluster([], [0.0], "other")
    for number in range(MOST_FAILED - 1):
        full._failed_to_begin(ActorSlot(f"gpu-{number}", "gpu", None, node=UNKNOWN), cast("Any", error))
    with pytest.raises(SetupError, match=r"workers: did not start: Failed\. Check memory"):
        full._failed_to_begin(ActorSlot("gpu-9", "gpu", None, node=UNKNOWN), cast("Any", error))
    full._starts.begun("gpu", "other")
    assert not full._starts.is_broken("gpu", UNKNOWN)
    said = "a node that joined: could not unpack the program and the run's files: Ray gave no reason"
    assert str(no_environment("", RuntimeEnvSetupError())).startswith(said)


@pytest.mark.parametrize("networks", [pytest.param(0, marks=pytest.mark.slow), 2])
@pytest.mark.slow
def test_workers_limit_what_is_loaded_already(networks: int) -> None:
    """Ray itself loads numpy before a worker knows its thread count: its pools are limited all the same. Networks
    may have threads of their own.
    """
    told = """
import numpy, threadpoolctl
from lipwise_ray.backends.ray.actors import _limit_threads
_limit_threads(1, {networks})
import torch
pools = threadpoolctl.threadpool_info()
print({{pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}}, torch.get_num_threads())
"""
    words = [sys.executable, "-c", told.format(networks=networks)]
    done = subprocess.run(words, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["{1}", str(networks or 1)]


def test_nobody_waits_for_embedded_workers_that_do_not_begin() -> None:
    """Where a lane's starts failed, only started workers count as slots: work that none of them can do is refused."""
    engine = object.__new__(RayEngine)
    engine._local, engine._starts, engine._workers, engine._settings = True, Starts(), 3, EngineSettings(workers=3)
    engine._nodes = cast("Any", SimpleNamespace(alive=lambda: {"here": None}))
    begun = ActorSlot("gpu-0", "gpu", None, node="here", about={"node": "here"})
    engine._slots = {slot.name: slot for slot in (begun, ActorSlot("gpu-1", "gpu", None, node="here"))}
    assert engine.render_slots == 3
    engine._starts.failed("gpu", "here", SetupError("worker_late", "x", got="did not begin"), for_good=True)
    assert engine.render_slots == 1


def test_work_is_not_spread_over_workers_of_which_none_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is tried once more when its time is up; while GPUs are others' that does not run; then it is an error."""
    made: list[MagicMock] = []

    def remote(_: object) -> MagicMock:
        made.append(MagicMock())
        return made[-1]

    fake = MagicMock()
    fake.remote.return_value.options.return_value.remote = remote
    fake.wait.side_effect = lambda refs, num_returns, timeout: time.sleep(0.02) or ([], refs)
    monkeypatch.setattr(ray_crew, "ray", fake)
    free = iter([0.2, 0.2, *[1.0] * 20])
    monkeypatch.setattr(ray_crew, "free_resources", lambda node: {"GPU": next(free)})
    monkeypatch.setattr(ray_crew.Nodes, "alive", lambda self: {"here": None})
    crew = ray_crew.Crew(lambda: None, 2, 0.5, start_s=0.01)
    assert crew.poll() is None
    assert len(made) == 2
    with pytest.raises(SetupError, match=r"did not begin within 0\.01 s"):
        _ = [crew.poll() for _ in range(5)]
    assert len(made) == fake.kill.call_count == 4
