"""The node agent beside a real Ray: a notice, or a signal, drains its node and no other."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lipwise_ray.backends.ray.node_agent import Ec2, Gce, cloud_of
from lipwise_ray.errors import SetupError
from tests.support.dub import command, run


@dataclass
class _Metadata:
    """What a metadata service answers, and what it was asked."""

    token: str = "secret"
    notice: str | None = None
    preempted: str | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def _service() -> Generator[_Metadata]:
    """Serve metadata as EC2 (with tokens only) and Google do."""
    told = _Metadata()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, code: int, text: str, **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self) -> None:  # the library's name
            told.asked.append(f"PUT {self.path}")
            is_right = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._answer(200 if is_right and told.token else 403, told.token)

        def do_GET(self) -> None:  # the library's name
            told.asked.append(f"GET {self.path}")
            if self.path == "/computeMetadata/v1/instance/preempted" and told.preempted:
                is_right = self.headers["Metadata-Flavor"] == "Google"
                self._answer(200 if is_right else 403, told.preempted, Metadata_Flavor="Google")
            elif self.path == "/latest/meta-data/spot/instance-action" and told.token:
                is_right = self.headers["X-aws-ec2-metadata-token"] == told.token
                self._answer(401 if not is_right else 200 if told.notice else 404, told.notice or "")
            else:
                self._answer(404, "")

        def log_message(self, *arguments: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def _in(seconds: float) -> str:
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    return json.dumps({"action": "terminate", "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_notices_of_ec2() -> None:
    """Asked with a token alone, which is kept; the time of the notice counts, and one without is one too."""
    with _service() as told:
        cloud = Ec2(told.address)
        assert cloud.is_here()
        assert cloud.seconds_left() is None
        told.notice = _in(100)
        assert 90 < (cloud.seconds_left() or 0) <= 100
        told.notice = "{}"
        assert (cloud.seconds_left() or 0) > 60
        assert told.asked.count("PUT /latest/api/token") == 1
        told.token = ""
        assert not Ec2(told.address).is_here()


def test_notices_of_google() -> None:
    """TRUE is one; FALSE is none; a page of somebody else's is none."""
    with _service() as told:
        cloud = Gce(told.address)
        assert not cloud.is_here()
        told.preempted = "FALSE"
        assert cloud.is_here()
        assert cloud.seconds_left() is None
        told.preempted = "TRUE"
        assert cloud.seconds_left() == 25


def test_which_cloud_it_is() -> None:
    """`auto` asks both; a cloud that is named has to be there."""
    with _service() as told:
        found = cloud_of("auto", told.address)
        assert found is not None
        assert found.name == "aws"
        told.token, told.preempted = "", "FALSE"
        found = cloud_of("auto", told.address)
        assert found is not None
        assert found.name == "gcp"
        with pytest.raises(SetupError, match="--cloud aws: its metadata service does not answer"):
            cloud_of("aws", told.address)
        assert cloud_of("none") is None
    assert cloud_of("auto", "http://127.0.0.1:1") is None


def _going() -> set[str]:
    """Return the nodes that are being drained, and those that had nothing to do and are gone already."""
    import ray
    from ray._private.state import state

    return set(state.get_draining_nodes()) | {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def _wait_for(nodes: set[str]) -> None:
    until = time.monotonic() + 20
    while _going() != nodes and time.monotonic() < until:
        time.sleep(0.2)
    assert _going() == nodes


@pytest.mark.slow
def test_a_node_is_drained_in_time() -> None:
    """The notice drains that node, SIGTERM another one; the head stays, and the agents end with code 0."""
    import ray
    from ray.cluster_utils import Cluster

    nobody = run("node-agent", "--address", "127.0.0.1:1", "--cloud", "none", timeout_s=60)
    assert nobody.returncode == 2
    assert "cannot be joined" in nobody.stderr
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    agents: list[subprocess.Popen[str]] = []
    try:
        workers = [cluster.add_node(num_cpus=1).node_id for _ in range(2)]
        ray.init(cluster.address, log_to_driver=False)
        with _service() as told:
            for node, cloud in zip(workers, ("aws", "none"), strict=True):
                words = ("--address", cluster.address, "--node-id", node, "--cloud", cloud, "--metadata", told.address)
                line = command("node-agent", *words, "--every", "0.2")
                agents.append(subprocess.Popen(line, stderr=subprocess.PIPE, text=True))
            time.sleep(3)
            assert _going() == set()
            told.notice = _in(60)
            _, said = agents[0].communicate(timeout=60)
            assert agents[0].returncode == 0, said
            assert "aws takes the machine back" in said
            _wait_for({workers[0]})
            agents[1].send_signal(signal.SIGTERM)
            _, said = agents[1].communicate(timeout=60)
            assert agents[1].returncode == 0, said
            _wait_for(set(workers))
    finally:
        for agent in agents:
            if agent.poll() is None:
                agent.kill()
        ray.shutdown()
        cluster.shutdown()
