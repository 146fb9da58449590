"""Faults of nodes, on real clusters of several raylets: a head that does no work, nodes with a declared GPU each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.faults.harness import Fault, Site, end_of, wait_for

ON_GPUS = ('engine.place="gpu"', 'engine.device="cpu"')
"""Nodes only declare their GPUs, so workers take them and compute on the CPU."""


class Nodes:
    """A cluster of processes on this machine."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        from ray.cluster_utils import Cluster

        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        self._monkeypatch = monkeypatch
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        site.address = self.cluster.address

    def add(self, name: str) -> Any:
        """Start a node that faults know by a name."""
        self._monkeypatch.setenv("LIPWISE_TEST_NODE", name)
        return self.cluster.add_node(num_cpus=1, num_gpus=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def nodes(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    made = Nodes(site, monkeypatch)
    yield made
    made.cluster.shutdown()


def test_a_node_that_vanishes_costs_no_task_its_budget(site: Site, nodes: Nodes) -> None:
    """Its chunks are rendered elsewhere, charged to the infrastructure; what was done before stays."""
    nodes.add("stays")
    goes = nodes.add("goes")
    site.inject(Fault(r"^render:", "frame:3", "hang", node="goes"))
    going = site.begin(*ON_GPUS, "engine.stall_s=60", workers=2)
    wait_for(lambda: site.hits, going)
    nodes.cluster.remove_node(goes, allow_graceful=False)
    end_of(going)
    site.check("a", "b")
    assert {event["blame"] for event in site.events("failed")} == {"node"}


def test_a_drained_node_gets_nothing_more(site: Site, nodes: Nodes) -> None:
    """Its running chunk may end; from then on the other node does the work."""
    nodes.add("stays")
    goes = nodes.add("goes")
    going = site.begin(*ON_GPUS, 'encode.preset="veryslow"', workers=2)
    wait_for(lambda: any(e["task"].startswith("render:") for e in site.events("leased")), going)
    drain = [
        sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", site.address, "--node-id", goes.node_id,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test", "--deadline-remaining-seconds", "60",
    ]  # fmt: skip
    subprocess.run(drain, check=True, capture_output=True, timeout=60, env=os.environ)
    drained_s = time.time()
    end_of(going)
    site.check("a", "b")
    late = [e["node"] for e in site.events("leased") if e["time"] > drained_s + 2]
    assert goes.node_id not in late
    assert not site.events("quarantined")


def test_a_node_whose_workers_do_not_start_is_left_out(site: Site, nodes: Nodes) -> None:
    """Its failures are nobody's fault but its own, and the run finishes on the other node."""
    good = nodes.add("good")
    nodes.add("bad")
    site.inject(Fault("^init$", "begin", "kill", times=100, node="bad"))
    end_of(site.begin(*ON_GPUS, workers=2))
    site.check("a", "b")
    assert {event["node"] for event in site.events("leased")} == {good.node_id}
    assert not site.events("failed")


def test_a_run_waits_for_its_first_node(site: Site, nodes: Nodes) -> None:
    """With only a head that does no work, the run begins; it goes on when a node joins."""
    going = site.begin(*ON_GPUS, workers=1)
    wait_for(lambda: site.store.names("runs"), going)
    time.sleep(5)
    assert going.poll() is None
    nodes.add("late")
    end_of(going)
    site.check("a", "b")
