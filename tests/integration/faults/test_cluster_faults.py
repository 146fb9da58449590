"""Nodes that go, are drained, start no worker or join late cost nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.faults import nodes
from tests.integration.faults.harness import Site


@pytest.mark.slow
@pytest.mark.parametrize("fault", nodes.FAULTS)
def test_faults_of_nodes(tmp_path: Path, fault: str) -> None:
    """Runs answer them as `nodes` says, and nothing is lost, partial or done twice."""
    site = Site(tmp_path)
    nodes.FAULTS[fault](site)
    site.check("a", "b")
