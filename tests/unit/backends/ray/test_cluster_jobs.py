"""Sending a run by Ray's own client to a dashboard that answers as the test says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipwise_ray.backends.ray import job_client
from lipwise_ray.backends.ray.cluster_jobs import ClusterJobs
from lipwise_ray.errors import DisconnectedError, SetupError
from lipwise_ray.exit_codes import ExitCode, of_error
from tests.support.dashboard import Dashboard, dashboard


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with dashboard() as found:
        yield found


def _send(board: Dashboard, folder: Path, *words: str, name: str | None = None) -> tuple[str, bool]:
    run, program = folder / "run", folder / "lipwise_ray"
    for place in (run, program):
        place.mkdir(exist_ok=True)
    (run / "m.csv").write_text("id\n")
    (program / "__init__.py").write_text("")
    return ClusterJobs(board.address).submit(name, "s3://b/state", ["submit", "m.csv", *words], run, [program])


def test_a_name_that_began_nothing_is_free_again(board: Dashboard, tmp_path: Path) -> None:
    """What ended with 2 is sent again under its name, with whatever was put right; what has worked is not."""
    assert _send(board, tmp_path, "--set", "wrong=1", name="night") == ("night", True)
    board.end("night", status="FAILED", driver_exit_code=2, driver_node_id="n")
    assert _send(board, tmp_path, "--set", "right=1", name="night") == ("night", True)
    assert "right=1" in board.jobs["night"]["entrypoint"]
    board.end("night", status="FAILED", driver_exit_code=1, driver_node_id="n")
    assert _send(board, tmp_path, "--set", "right=1", name="night") == ("night", False)
    with pytest.raises(SetupError, match=r"night on .*: is a run with another manifest or other settings"):
        _send(board, tmp_path, "--set", "other=1", name="night")


def test_two_that_send_again_at_once_send_one_run(board: Dashboard, tmp_path: Path) -> None:
    """Whoever comes second cannot remove the run of before, and finds the other's instead."""
    _send(board, tmp_path, name="night")
    board.end("night", status="FAILED", driver_exit_code=2, driver_node_id="n")
    board.on_delete = lambda: board.end("night", status="RUNNING", driver_exit_code=None)
    assert _send(board, tmp_path, name="night") == ("night", False)
    assert board.jobs["night"]["status"] == "RUNNING"


def test_a_run_says_where_it_was_sent(board: Dashboard, tmp_path: Path) -> None:
    """So that its retry goes there; sent by another way to the same cluster it is the same run."""
    name, _ = _send(board, tmp_path)
    assert board.jobs[name]["entrypoint"].endswith(f"--sent-to {board.address}")
    board.address = board.address.replace("127.0.0.1", "localhost")
    assert _send(board, tmp_path) == (name, False)


def test_a_line_that_breaks_while_a_run_is_sent(board: Dashboard, tmp_path: Path) -> None:
    """The cluster had it: it is found. Nobody can be asked: the code is not that of a run that never began."""

    def closes(*, stays: bool) -> bool:
        board.is_away = stays
        return False

    board.on_submit = lambda: closes(stays=False)
    assert _send(board, tmp_path, name="first") == ("first", False)
    board.on_submit = lambda: closes(stays=True)
    with pytest.raises(
        DisconnectedError,
        match=r"lost while the run was being sent .*run the same command again, which finds it or sends it",
    ) as caught:
        _send(board, tmp_path, name="second")
    assert of_error(caught.value) is ExitCode.DISCONNECTED


def test_a_tunnel_whose_other_end_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and never answers: that is out of reach, in bounded time."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(job_client, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        begun_s = time.monotonic()
        with pytest.raises(SetupError, match="cannot be reached: "):
            ClusterJobs(f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert time.monotonic() - begun_s < 10
