"""Ray's processes stand apart from the terminal, the process group and the working directory of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from ray._private import services
from ray.job_config import JobConfig

from lipwise_ray.backends.ray.processes import OwnFoldersOnly, apart, end_sessions, safe_environment
from lipwise_ray.malloc_arenas import few_arenas

_LOOK = """
import json, os, sys
print(json.dumps({"session": os.getsid(0), "stdin": os.readlink("/proc/self/fd/0"), "safe": sys.flags.safe_path,
                  "path": sys.path, "arenas": os.environ["MALLOC_ARENA_MAX"]}))
"""


def test_what_ray_starts_has_a_session_of_its_own_and_reads_nothing(tmp_path: Path) -> None:
    """What Ray starts is in no group of this process, reads /dev/null, and loads nothing from the working directory."""
    log = tmp_path / "log"
    with log.open("wb") as out, apart():
        started = services.start_ray_process(
            [sys.executable, "-c", _LOOK], "raylet", fate_share=False, cwd=str(tmp_path), stdout_file=out
        )
    assert services.ConsolePopen.__mro__[1] is subprocess.Popen  # as it was
    assert started.process.wait(60) == 0
    found = json.loads(log.read_text())
    assert (found["session"], found["stdin"], found["safe"]) == (started.process.pid, "/dev/null", True)
    assert found["session"] != os.getsid(0)
    assert not {"", str(tmp_path)} & set(found["path"])
    assert found["arenas"] == few_arenas(os.environ)["MALLOC_ARENA_MAX"]


def test_a_session_ends_with_what_is_stopped_in_it() -> None:
    """A process that no longer listens does not outlive the Ray that it belonged to; this one's own session stays."""
    leader = subprocess.Popen(["sh", "-c", "sleep 60 & kill -STOP $!; wait"], start_new_session=True)
    other = subprocess.Popen(["sleep", "60"])
    children = psutil.Process(leader.pid).children
    while not (stopped := [child for child in children() if child.status() == psutil.STATUS_STOPPED]):
        assert leader.poll() is None
    end_sessions({leader.pid})
    leader.wait(10)
    psutil.wait_procs(stopped, timeout=10)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in stopped)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_python_path_keeps_what_it_names() -> None:
    """Named folders stay in their order; entries that are empty, which mean the working directory, go."""
    assert safe_environment({"PYTHONPATH": ":/b::a:", "X": "1"}) == {
        "PYTHONPATH": "/b:a",
        "PYTHONSAFEPATH": "1",
        "X": "1",
    }
    assert safe_environment({"PYTHONPATH": ""}) == safe_environment({}) == {"PYTHONSAFEPATH": "1"}


def test_a_job_names_its_own_folders_alone() -> None:
    """Ray adds the driver's working directory to a job's folders unless the job says that it brings one."""
    assert not JobConfig()._runtime_env_has_working_dir()
    assert OwnFoldersOnly()._runtime_env_has_working_dir()
    assert list(OwnFoldersOnly(_py_driver_sys_path=["/a"])._get_proto_job_config().py_driver_sys_path) == ["/a"]
