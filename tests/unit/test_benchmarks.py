"""`make bench`: its scripts go with the product as it is."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest

from benchmarks import costs, credentials, driver, scale
from lipwise_ray.settings.layers import read_toml
from tests.conftest import ROOT


def test_the_driver_is_measured_on_a_made_up_engine() -> None:
    """Rows and tasks go through the real driver to their end; figures come out."""
    found = driver.memory(9)
    assert found["peak_mib"] > 0
    assert driver.throughput({"kind": "inline", "tasks": 5}) > 0


def test_signing_is_measured_on_files_that_are_whole(tmp_path: Path) -> None:
    """Noise is signed as a film is, with a source beside it, and what is verified is the signed file."""
    film = tmp_path / "plain.mp4"
    credentials.write_noise(film, 1)
    assert credentials.measured("sign", film, film, tmp_path)["mib"] > 0
    assert credentials.measured("verify", tmp_path / "signed.mp4", film, tmp_path)["seconds"] > 0
    with pytest.raises(SystemExit, match="unsigned"):
        credentials.measured("verify", film, film, tmp_path)


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
    assert len(names) == 16
    for name in names:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit) as end:
            __import__(name, fromlist=["main"]).main()
        assert end.value.code == 0
        assert "--" in capsys.readouterr().out


def test_the_page_of_costs_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure of its table, for speeds that nobody has measured too, is the command's."""
    costs.main([])
    assert capsys.readouterr().out in (ROOT / "docs" / "howto" / "costs-of-1000-hours.md").read_text()


def test_costs_follow_from_measured_frames(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """1,000 hours at 25 frames/s on a card that does 50 take 500 hours, at the list's prices; a stranger has none."""
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'currency = "EUR"\nas_of = "now"\n[[machine]]\nname = "box, two L4"\ngpus = 2\nspot = 1.0\non_demand = 4.0\n'
        '[[machine]]\nname = "box, one L40S"\nspot = 9.0\non_demand = 9.0\n'
    )
    costs.main(["--prices", str(prices), "--cards", "L4,H9", "--speed", "50,100", "--says", "our clip"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "| L4 | 50 | our clip | 500 | 250 to 1,000 EUR |",
        "| H9 | 100 | our clip | 250 | no price in the list |",
    ]


def test_costs_of_speeds_that_do_not_fit_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As many figures as cards, each more than none."""
    for words in (["--cards", "L4,H100", "--speed", "50"], ["--speed", "0,1,2"]):
        with pytest.raises(SystemExit):
            costs.main(words)
        assert "--speed" in capsys.readouterr().err


def test_a_measured_speed_has_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The committed table is read; every figure in it says where it is from."""
    assert all(one["source"] and one["frames_s"] > 0 for one in read_toml(costs.SPEEDS)["speed"])
    table = tmp_path / "speeds.toml"
    table.write_text('[[speed]]\ncard = "L4"\nframes_s = 50.0\nsource = "this test"\n')
    monkeypatch.setattr(costs, "SPEEDS", table)
    assert costs.measured("L4") == [costs.CardSpeed("L4", 50.0, "this test")]
    assert costs.measured("H100") == []
