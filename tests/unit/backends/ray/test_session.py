"""Ray's own errors while it starts: by what they mean, after one more try."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from ray._private.node import Node
from ray._private.services import ProcessInfo

from lipwise_ray.backends.ray import session as ray_session
from lipwise_ray.cli import app
from lipwise_ray.errors import EngineError, SetupError
from lipwise_ray.exit_codes import ExitCode, of_error
from tests.support.ray_cluster import free_ports

_LATE = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


class _Starts:
    """Ray's start, which fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.folders = list(errors), list[Path]()

    def __call__(self, **options: object) -> None:
        self.folders.append(Path(str(options["_temp_dir"])))
        if self.errors:
            raise self.errors.pop(0)


def test_a_start_that_is_late_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second try counts, in a folder of its own; the first one's is removed."""
    starts = _Starts(Exception(_LATE))
    monkeypatch.setattr(ray, "init", starts)
    folder = ray_session.connect("local")
    assert folder == starts.folders[1] != starts.folders[0]
    assert not starts.folders[0].exists()
    ray_session.leave(folder)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Exception(_LATE), "no answer in time"),
        (RuntimeError("Failed to start the GCS\nTraceback"), "Failed to start the GCS"),
        (OSError(28, "No space left on device"), "no room on the disk"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_start_that_fails_twice_is_a_wrong_setup(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever class Ray's error has, it ends as one line that says what it means and what to do."""
    starts = _Starts(error, error)
    monkeypatch.setattr(ray, "init", starts)
    with pytest.raises(SetupError, match=says) as found:
        ray_session.connect("local")
    assert "\n" not in str(found.value)
    assert len(starts.folders) == 2
    assert not any(folder.exists() for folder in starts.folders)


def test_a_ray_that_the_process_uses_already_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is for, leaving ours would end it: nothing is started."""
    starts = _Starts()
    monkeypatch.setattr(ray, "init", starts)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    for address in ("local", "auto"):
        with pytest.raises(SetupError, match=f"Ray at {address}: this process already uses Ray") as found:
            ray_session.connect(address)
        assert found.value.code == "ray_in_use"
    assert starts.folders == []


@pytest.mark.parametrize("address", ["ray://", "ray://[", "ray://:10001", "ray://host:port"])
def test_an_address_without_a_host_is_not_tried(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would look for it for a minute."""
    monkeypatch.setattr(ray, "init", _Starts())
    with pytest.raises(SetupError, match=r"names no host and port of a cluster\. Write ray://HOST:PORT"):
        ray_session.connect(address)


def test_a_head_that_is_gone_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is looked up as Ray does it; where nobody listens, Ray itself would try for minutes."""
    (port,) = free_ports(1)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setattr(ray, "init", _Starts())
    begun_s = time.monotonic()
    with pytest.raises(SetupError, match=r"Ray at auto: cannot be joined: .*refused"):
        ray_session.connect("auto")
    assert time.monotonic() - begun_s < 30
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(
        SetupError, match=r"RAY_ADDRESS=http://127.0.0.1:8265: is the address of a dashboard; auto or ray://"
    ):
        ray_session.connect("auto")


def test_a_head_that_goes_away_stops_the_run_before_ray_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked meanwhile, since that call would never return; after a while the run stops in order."""
    now_s = 0.0
    (port,) = free_ports(1)
    node = Node.__new__(Node)
    node._gcs_address = f"127.0.0.1:{port}"
    node.all_processes = {}
    monkeypatch.setattr(ray_session.ray_worker, "_global_node", node)
    nodes = ray_session.Nodes(lambda: now_s)
    now_s = 100.0  # a driver that did something else meanwhile: the silence begins now
    assert nodes.alive() == {}
    now_s = 120.0
    assert nodes.alive() == {}
    assert nodes.head_is_silent
    assert not nodes.head_is_lost
    now_s = 131.0
    with pytest.raises(EngineError, match=r": has not answered for 31 s\. What is done is kept") as caught:
        nodes.alive()
    assert nodes.head_is_lost
    assert of_error(caught.value) is ExitCode.STOPPED


def test_doctor_ends_with_2_where_ray_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check of a machine says in its line what is wrong with Ray, and its exit code is that of a wrong setup."""
    monkeypatch.setattr(ray, "init", _Starts(*[Exception(_LATE)] * 2))
    monkeypatch.setattr("lipwise_ray.media.encode.CODECS", ("libx264",))  # the others take their time
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "doctor"])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == ExitCode.CANNOT_START
    assert "MISS ray starts Ray at local: did not start: no answer in time" in capsys.readouterr().out


def test_a_ray_whose_own_process_ended_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its GCS a call into Ray waits a minute and then ends the program with a code of Ray's choice."""
    log = subprocess.DEVNULL
    ended, lives = (
        subprocess.Popen(words, stdout=log, start_new_session=True) for words in (["true"], ["sleep", "60"])
    )
    ended.wait()
    node = Node.__new__(Node)  # as it stands once Ray has started
    node.all_processes = {
        kind: [ProcessInfo(process, None, None, False, False, False, False, False)]
        for kind, process in (("raylet", lives), ("log_monitor", ended))
    }
    monkeypatch.setattr(ray_session.ray_worker, "_global_node", node)
    ray_session.must_live()
    node.all_processes["gcs_server"] = node.all_processes["log_monitor"]
    with pytest.raises(EngineError, match="its gcs_server ended while the run was at work"):
        ray_session.must_live()
    lives.kill()
    lives.wait()
