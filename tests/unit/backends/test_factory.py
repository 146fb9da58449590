"""What stands in the way of an engine is said before it is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import ray
import torch

from lipwise_ray.backends.factory import make_engine
from lipwise_ray.backends.ray import engine
from lipwise_ray.backends.ray.environment import check_token_file
from lipwise_ray.backends.ray.session import Node
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import SetupError
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.settings.model import EngineSettings


@pytest.mark.parametrize(
    ("text", "got"),
    [(None, "no such file"), (b"", "an empty file"), (b" \n", "an empty file"), (b"\xff", "not a text file")],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_token_that_is_none(
    text: bytes | None, got: str, *, is_named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is absent, empty or no text is refused by name, wherever Ray would look for it."""
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    if text is not None:
        path.write_bytes(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path) if is_named else "")
    with pytest.raises(SetupError, match=f"{path}: {got}.*; the cluster's token is expected there"):
        check_token_file()
    path.write_text("f" * 64)
    check_token_file()
    path.write_text("")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    check_token_file()


@pytest.mark.parametrize(("settings", "expected"), [({}, 3), ({"threads_per_worker": 2}, 0)])
def test_the_users_own_number_of_threads_is_the_networks(
    settings: dict[str, int], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says goes before this program's own choice, and after what is set for it."""
    made: list[WorkerConfig] = []

    def make(config: WorkerConfig) -> Worker:
        made.append(config)
        return Worker(config)

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    config = WorkerConfig(str(tmp_path), str(tmp_path), "cpu", 0)
    make_engine(EngineSettings.model_validate({"kind": "inline", **settings}), config, make)
    assert [one.network_threads for one in made] == [expected]
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("kind", ["inline", "ray"])
def test_a_gpu_is_not_waited_for_where_none_can_come(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single machine without one says so at once, and what to set; left to itself it uses what is there."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    node = Node("n", 2.0, 0.0, "127.0.0.1", 1, draining=False)
    monkeypatch.setattr(engine, "connect", lambda address: None)
    monkeypatch.setattr(engine, "leave", lambda folder, *, is_lost: None)
    monkeypatch.setattr(engine.Nodes, "alive", lambda self: {"n": node})
    monkeypatch.setattr(ray, "init", None)
    config = WorkerConfig(str(tmp_path), str(tmp_path), "cpu", 1)
    with pytest.raises(SetupError, match=r'Set engine\.place to "auto"'):
        make_engine(EngineSettings.model_validate({"kind": kind, "place": "gpu"}), config, Worker)
    assert make_engine(EngineSettings.model_validate({"kind": kind}), config, Worker).device == "cpu"
