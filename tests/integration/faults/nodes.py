"""Faults of nodes, on real clusters of several raylets: a head that does no work, nodes with a declared GPU each.

Like `strikes`: tests and the table bring them about, each function sees the fault answered, and returns how many
faults there were besides those that are injected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.faults.harness import Fault, Site, end_of, wait_for

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

_ON_GPUS = ('engine.place="gpu"', 'engine.device="cpu"')
"""Nodes only declare their GPUs, so workers take them and compute on the CPU."""


class _Nodes:
    def __init__(self, cluster: Cluster, environment: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self._environment = environment

    def add(self, name: str) -> Any:
        """Start a node that faults know by a name."""
        self._environment.setenv("LIPWISE_TEST_NODE", name)
        return self.cluster.add_node(num_cpus=1, num_gpus=1)


@contextmanager
def _nodes(site: Site) -> Iterator[_Nodes]:
    """Start a head whose processes meet the site's faults; the site's runs go there."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        for name, value in site.environment.items():
            environment.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        site.address = cluster.address
        try:
            yield _Nodes(cluster, environment)
        finally:
            cluster.shutdown()
            site.end_stopped()


def vanishes(site: Site) -> int:
    """A node goes without a word: its chunks are rendered elsewhere, charged to the infrastructure; what was done
    before stays.
    """
    with _nodes(site) as nodes:
        nodes.add("stays")
        goes = nodes.add("goes")
        site.inject(Fault(r"^render:", "frame:3", "hang", node="goes"))
        going = site.begin(*_ON_GPUS, "engine.stall_s=60", workers=2)
        wait_for(lambda: site.hits, going)
        nodes.cluster.remove_node(goes, allow_graceful=False)
        end_of(going)
    assert {event["blame"] for event in site.events("failed")} == {"node"}
    return 0


def is_drained(site: Site) -> int:
    """A node's running chunk may end; from then on the other node does the work."""
    with _nodes(site) as nodes:
        nodes.add("stays")
        goes = nodes.add("goes")
        going = site.begin(*_ON_GPUS, 'encode.preset="veryslow"', workers=2)
        wait_for(lambda: any(e["task"].startswith("render:") for e in site.events("leased")), going)
        drain = [
            sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", site.address,
            "--node-id", goes.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test",
            "--deadline-remaining-seconds", "60",
        ]  # fmt: skip
        subprocess.run(drain, check=True, capture_output=True, timeout=60, env=os.environ)
        drained_s = time.time()
        end_of(going)
    assert goes.node_id not in [e["node"] for e in site.events("leased") if e["time"] > drained_s + 2]
    assert not site.events("quarantined")
    return 1


def starts_no_worker(site: Site) -> int:
    """Workers do not start on one node: nobody's fault but its own, and the other one does the work."""
    with _nodes(site) as nodes:
        good = nodes.add("good")
        nodes.add("bad")
        site.inject(Fault("^init$", "begin", "kill", times=100, node="bad"))
        end_of(site.begin(*_ON_GPUS, workers=2))
    assert {event["node"] for event in site.events("leased")} == {good.node_id}
    assert not site.events("failed")
    return 0


def joins_late(site: Site) -> int:
    """With only a head that does no work a run begins; it goes on when a node joins, 10 s later."""
    with _nodes(site) as nodes:
        going = site.begin(*_ON_GPUS, workers=1)
        wait_for(lambda: site.store.names("runs"), going)
        time.sleep(10)
        assert going.poll() is None
        nodes.add("late")
        end_of(going)
    return 1


FAULTS = {
    "a node vanishes": vanishes,
    "a node is drained": is_drained,
    "workers do not start on one node": starts_no_worker,
    "the first node joins late": joins_late,
}
"""By what happens."""
