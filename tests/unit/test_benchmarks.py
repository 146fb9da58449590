"""`make bench`: its scripts go with the product as it is."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import driver
from tests.conftest import ROOT


def test_the_driver_is_measured_on_a_made_up_engine() -> None:
    """Rows and tasks go through the real driver to their end; figures come out."""
    found = driver.memory(9)
    assert found["peak_mib"] > 0
    assert driver.throughput({"kind": "inline", "tasks": 5}) > 0


def test_every_script_begins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the Makefile runs can be imported and tells how it is used."""
    names = re.findall(r"-m (benchmarks\.\w+)", (ROOT / "Makefile").read_text())
    assert len(names) == 7
    for name in names:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit) as end:
            __import__(name, fromlist=["main"]).main()
        assert end.value.code == 0
        assert "--" in capsys.readouterr().out
