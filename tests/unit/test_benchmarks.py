"""`make bench`: its scripts go with the product as it is."""

from __future__ import annotations

import argparse
import re
import sys

import pytest

from benchmarks import driver, scale
from tests.conftest import ROOT


def test_the_driver_is_measured_on_a_made_up_engine() -> None:
    """Rows and tasks go through the real driver to their end; figures come out."""
    found = driver.memory(9)
    assert found["peak_mib"] > 0
    assert driver.throughput({"kind": "inline", "tasks": 5}) > 0


@pytest.mark.slow
def test_the_driver_is_measured_as_work_grows() -> None:
    """Rows of several chunks are begun, left half done, gone on with and reported by many workers."""
    found = scale.measured(workers=50, rows=40, chunks=3)
    assert all(figure > 0 for figure in found.values()), found
    assert found["records_a_row"] < 5


def test_a_night_is_priced_from_what_was_measured() -> None:
    """Machines by frames, drivers by tasks, money by prices: a tenth of the speed takes ten times the machines."""
    options = argparse.Namespace(
        night=10_000, night_hours=8, row_minutes=10, frames_per_s=500, gpu_hour=2, put_million=5, get_million=0.5
    )
    asked = {"chunk": 6.0, "chunk_puts": 5.0, "row": 25.0, "row_puts": 20.0}
    told = dict(scale.night(options, 1000.0, asked))
    assert told["GPUs"].startswith("63 ")
    assert told["requests to the store"].startswith("23,100,000:")
    assert (told["GPUs cost"], told["requests cost"]) == ("1,008", "98")
    options.frames_per_s = 50
    assert dict(scale.night(options, 100.0, asked))["GPUs"].startswith("625 ")
    assert dict(scale.night(options, 100.0, asked))["drivers"].startswith("3 ")


def test_every_script_begins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the Makefile runs can be imported and tells how it is used."""
    names = re.findall(r"-m (benchmarks\.\w+)", (ROOT / "Makefile").read_text())
    assert len(names) == 14
    for name in names:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit) as end:
            __import__(name, fromlist=["main"]).main()
        assert end.value.code == 0
        assert "--" in capsys.readouterr().out
