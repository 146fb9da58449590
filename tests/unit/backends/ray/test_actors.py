"""What an agent does on its node, beside the workers there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lipwise_ray.backends.ray.actors import Agent
from lipwise_ray.backends.worker_config import WorkerConfig


def test_a_process_is_ended_at_once_also_one_that_has_ended() -> None:
    """A worker that hears no signal any more is killed; one that went by itself meanwhile is no error."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        Agent().kill(process.pid)
        assert process.wait(10) == -9
    Agent().kill(process.pid)


def test_a_log_is_quoted_from_the_attempt_on(tmp_path: Path) -> None:
    """What a worker printed during earlier attempts, at the same task too, is left out."""
    log = tmp_path / "w.log"
    log.write_text("--- render:j/0#1\nold\n--- render:j/0#2\nnew\nSegmentation fault\n")
    assert Agent().tail(str(log), "render:j/0#2") == "new\nSegmentation fault\n"
    assert Agent().tail(str(tmp_path / "none.log"), "x") == ""


def test_a_worker_that_does_not_begin_has_its_log_quoted(tmp_path: Path) -> None:
    """The agent finds the log by the worker's name, in the folder of its own machine."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gpu-1-77.log").write_text("loading\nno space left\n")
    config = WorkerConfig(str(tmp_path / "state"), str(tmp_path), "cpu", 1)
    found = Agent().words_of_start(config, "gpu-1")
    assert "no space left" in str(found[1])
