from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lipwise_ray.backends.factory import make_engine
from lipwise_ray.backends.ray import session
from lipwise_ray.backends.ray.early_ray import EarlyRay, early_ray
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import SetupError
from lipwise_ray.pipeline.tasks.make_worker import make_worker
from lipwise_ray.settings.model import EngineSettings

ON_RAY = EngineSettings.model_validate({"kind": "ray"})


def test_a_start_that_fails_is_the_engines_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised where the engine is made, as if that had started Ray, and nothing is left to be ended."""
    refusal = SetupError("ray", "Ray at local", got="did not start: no room")

    def refuse(address: str) -> Path:
        raise refusal

    monkeypatch.setattr(session, "connect", refuse)
    config = WorkerConfig(str(tmp_path), str(tmp_path), "cpu", 1)
    with pytest.raises(SetupError) as raised, early_ray(ON_RAY) as early:
        make_engine(ON_RAY, config, make_worker, early=early)
    assert raised.value is refusal


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_ray_that_no_engine_took_is_ended(
    is_taken: bool,  # noqa: FBT001  # a parametrised value
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that ends before it has an engine, with its error, waits for the start and leaves Ray; an engine's is left
    by the engine.
    """
    may_start, left = threading.Event(), list[Path | None]()

    def start(address: str) -> Path:
        assert may_start.wait(10)
        return tmp_path

    monkeypatch.setattr(session, "connect", start)
    monkeypatch.setattr(session, "leave", left.append)

    def run() -> None:
        with early_ray(ON_RAY) as early:
            assert early is not None
            may_start.set()
            if is_taken:
                assert early.take() == tmp_path
            raise SetupError("state_in_use", "state", got="has a driver")

    with pytest.raises(SetupError, match="has a driver"):
        run()
    assert left == ([] if is_taken else [tmp_path])


def test_the_thread_that_starts_ray_outlives_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel kills Ray's processes when the thread that made them ends."""
    threads: list[threading.Thread] = []

    def start(address: str) -> Path:
        threads.append(threading.current_thread())
        return tmp_path

    monkeypatch.setattr(session, "connect", start)
    early = EarlyRay()
    early.take()
    threads[0].join(0.2)
    assert threads[0].is_alive()
    early.end()
    threads[0].join(10)
    assert not threads[0].is_alive()


@pytest.mark.parametrize("settings", [{"kind": "inline"}, {"kind": "ray", "address": "ray://localhost:1"}])
def test_nothing_starts_early_but_an_embedded_ray(settings: dict[str, str]) -> None:
    """One process needs no Ray, and a cluster is joined once the state is locked."""
    with early_ray(EngineSettings.model_validate(settings)) as early:
        assert early is None


_SIGNALLED = """
import ctypes, os, signal, threading
from lipwise_ray.backends.ray.processes import our_handlers
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append("TERM"))
def start():
    with our_handlers():
        ctypes.CDLL(None).signal(signal.SIGTERM, None)  # to the system's own, which ends the process
thread = threading.Thread(target=start)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
print(heard)
"""


def test_handlers_of_signals_are_kept_in_a_thread() -> None:
    """A stop that comes while Ray starts, or after, is heard by this program: Ray's own handler would end it."""
    done = subprocess.run([sys.executable, "-c", _SIGNALLED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "['TERM']")
