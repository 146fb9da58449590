"""What others rely on is as it was when `contracts.json` was written; what came since may stand beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.golden.contracts import contracts

FROZEN: dict[str, Any] = json.loads((GOLDEN / "contracts.json").read_text())


def _lost(frozen: Any, now: Any, path: str = "") -> list[str]:
    """Return what is gone or changed; more keys are no loss."""
    if isinstance(frozen, dict) and isinstance(now, dict):
        gone = [f"{path}{key} is gone" for key in frozen if key not in now]
        return gone + [lost for key in frozen if key in now for lost in _lost(frozen[key], now[key], f"{path}{key} > ")]
    return [] if frozen == now else [f"{path}was {frozen!r}, is {now!r}"]


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    """What the tree at hand says."""
    return json.loads(json.dumps(contracts()))


@pytest.mark.parametrize("part", FROZEN)
def test_what_others_rely_on_stays(part: str, now: dict[str, Any]) -> None:
    """Figures, codes, commands with their flags, settings, presets, columns: none is gone or means another thing."""
    lost = _lost(FROZEN[part], now[part])
    assert not lost, "\n".join(lost)
