"""A real cluster of two nodes on this machine, as an operator starts one: a head that does no work, and a worker."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests


@dataclass(frozen=True)
class RayCluster:
    """Addresses of a cluster, and ways to end and add its nodes.

    Attributes:
        dashboard: Its address for jobs.
        token: What it asks for.
        metrics_port: Of the head.
        scratch: The folder for the nodes' files, one of its own for each.
        address: Of its head.
        kill_head: Ends all of the head's processes at once, drivers that run there too.
        start_head: Starts another head, on another port, with the same dashboard address.
        add_node: Starts a worker of that name; SIGTERM ends it.
    """

    dashboard: str
    token: str
    metrics_port: int
    scratch: Path
    address: str
    kill_head: Callable[[], None]
    start_head: Callable[[], None]
    add_node: Callable[[str], subprocess.Popen[bytes]]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a client."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}


@contextmanager
def ray_cluster(*, gpus: int = 0, workers: int = 1) -> Iterator[RayCluster]:
    """Start a head and workers by `ray start`, behind a token; end them.

    Args:
        gpus: GPUs of each worker, as Ray is told; there need be none.
        workers: Number of worker nodes.
    """
    scratch = Path(tempfile.mkdtemp(prefix="lwc-", dir="/tmp"))  # socket paths must stay short
    token, port, dashboard, metrics = secrets.token_hex(32), *free_ports(3)
    binary = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{binary}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": "",
    }
    head = [
        "--head", f"--port={port}", "--num-cpus=0", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        "--include-dashboard=true", f"--metrics-export-port={metrics}",
    ]  # fmt: skip
    worker = [f"--address=127.0.0.1:{port}", "--num-cpus=2", f"--num-gpus={gpus}"]
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, words: list[str]) -> subprocess.Popen[bytes]:
        folder = scratch / name
        folder.mkdir(exist_ok=True)
        common = [
            "--block", "--node-ip-address=127.0.0.1", "--object-store-memory=104857600", "--disable-usage-stats",
            f"--temp-dir={folder}/ray", f"--dashboard-agent-listen-port={free_ports(1)[0]}",
        ]  # fmt: skip
        log_file = scratch / f"{name}.log"
        process = subprocess.Popen(
            [binary / "ray", "start", *words, *common],
            env={**environment, "TMPDIR": str(folder)},
            stdout=log_file.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        processes.append(process)
        if name == "h":
            _until(lambda: _takes_jobs(dashboard, token), process, log_file)
        _until(lambda: "Ray runtime started" in log_file.read_text(), process, log_file)
        return process

    def kill_head() -> None:
        nonlocal first
        for one in (*psutil.Process(first.pid).children(recursive=True), psutil.Process(first.pid)):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        first.wait()

    def start_head() -> None:
        nonlocal first
        (other,) = free_ports(1)  # `ray start` takes the worker's old address for a head that is there
        first = start("h", [f"--port={other}" if word == f"--port={port}" else word for word in head])

    try:
        first = start("h", head)
        for number in range(workers):
            start(f"w{number}", worker)
        yield RayCluster(
            f"http://127.0.0.1:{dashboard}",
            token,
            metrics,
            scratch,
            f"127.0.0.1:{port}",
            kill_head,
            start_head,
            lambda name: start(name, worker),
        )
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _takes_jobs(port: int, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        return requests.get(f"http://127.0.0.1:{port}/api/jobs/", headers=headers, timeout=10).ok
    except requests.RequestException:
        return False


def _until(there: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + 90
    while not there():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.2)
