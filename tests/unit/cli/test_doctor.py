"""What `doctor` says of a cluster's nodes."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from lipwise_ray.cli import node_checks
from lipwise_ray.cli.app import app


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_of_a_node_is_shown(form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node's store or process says may hold a key, and a cluster keeps what its jobs print."""
    said = "10.0.0.2: https://me:hunter2@host/x?X-Amz-Signature=abcdef0123: cannot be read"
    monkeypatch.setattr(node_checks, "everywhere", lambda *_: iter([(False, "place", said)]))
    done = CliRunner().invoke(app, ["doctor", "--address", "auto", *form])
    assert done.exit_code == 1
    assert "10.0.0.2: https://" in done.output
    assert not [secret for secret in ("hunter2", "abcdef0123") if secret in done.output]
