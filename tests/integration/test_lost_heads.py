"""A cluster's head that dies in the middle of a run: seen by who follows, and by a driver on another machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, command, settings_arguments, write_manifest
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.waiting import until

DEMO = ROOT / "manifests" / "demo"
TOLD = (PASSTHROUGH, QUICK, UNJUDGED, 'detect.detector="tiny"', "chunk.length_s=0.4")

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as found:
        yield found


def _long_run(cluster: RayCluster, folder: Path, address: str, **environment: str) -> subprocess.Popen[str]:
    row = {"video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "length": "video"}
    rows = [{**row, "id": f"r{n}", "output": f"{n}.mp4", "start": n / 100} for n in range(40)]
    manifest = write_manifest(folder / "m.csv", rows)
    words = command("submit", manifest, "--out", folder / "out", "--address", address, *settings_arguments(*TOLD))
    told = {**os.environ, **cluster.environment, **environment}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=told)


def test_a_run_whose_head_is_started_anew(cluster: RayCluster, tmp_path: Path) -> None:
    """Who follows hears that the run ended with its head, and ends with 3: sent again it goes on."""
    with _long_run(cluster, tmp_path, cluster.dashboard) as process:
        until(lambda: [*tmp_path.glob("out.state/jobs/*/chunks/*.json")], 120)
        cluster.kill_head()
        cluster.start_head()
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "the run goes on there" in said
    assert "was started anew and no longer knows this run" in said


def test_a_driver_whose_head_goes_away(cluster: RayCluster, tmp_path: Path) -> None:
    """Ray itself would end it after a minute with 1, which is the code of rows that failed; it ends in order with 3."""
    with _long_run(cluster, tmp_path, "auto", RAY_ADDRESS=cluster.address) as process:
        until(lambda: [*tmp_path.glob("out.state/jobs/*/chunks/*.json")], 120)
        begun_s = time.monotonic()
        cluster.kill_head()
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 3, said
    assert re.search(r"Ray at \S+: has not answered for \d+ s\.", said), said
    assert time.monotonic() - begun_s < 90
    (written,) = tmp_path.glob("out.state/runs/*/report.json")
    assert json.loads(written.read_bytes())["left"] > 0
    with _long_run(cluster, tmp_path, "auto", RAY_ADDRESS=cluster.address) as process:
        begun_s = time.monotonic()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert re.search(r"Ray at auto: cannot be joined: \S", said)
    assert time.monotonic() - begun_s < 30
