"""Nodes that go, are drained, start no worker or join late cost nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.faults import nodes
from tests.integration.faults.harness import Site

_QUICK = "a node vanishes"


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name == _QUICK else pytest.mark.slow) for name in nodes.FAULTS]
)
def test_faults_of_nodes(tmp_path: Path, fault: str) -> None:
    """Runs answer them as `nodes` says, and nothing is lost, partial or done twice."""
    site = Site(tmp_path)
    nodes.FAULTS[fault](site)
    site.check("a", "b")
