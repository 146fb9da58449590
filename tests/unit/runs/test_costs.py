"""What a night costs: price lists, ranges, and where the speeds come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.reports.page import page
from lipwise_ray.reports.row_sheet import RowSheet
from lipwise_ray.reports.rows import RunReport, columns, row_of
from lipwise_ray.runs.costs import read_prices
from lipwise_ray.runs.estimate import Speeds
from lipwise_ray.state.run_records import RunRecord
from lipwise_ray.state.speeds import JobSpeed, write_speeds
from lipwise_ray.state.store import LocalStore
from tests.conftest import ROOT

LIST = 'currency = "EUR"\nas_of = "today"\n[[machine]]\nname = "box"\ngpus = 4\nspot = 2.0\non_demand = 8.0\n'


def test_the_example_is_a_price_list() -> None:
    """It says of when it is, and spot is never dearer."""
    prices = read_prices(ROOT / "cluster" / "prices.toml")
    assert prices.as_of
    assert len(prices.lines(3600, 7200)) == len(prices.machine) >= 3


def test_a_range_goes_from_spot_to_on_demand(tmp_path: Path) -> None:
    """Two to three GPU hours on a machine of four: half an hour to three quarters of one, cheap and dear."""
    (tmp_path / "p.toml").write_text(LIST)
    assert read_prices(tmp_path / "p.toml").lines(7200, 10800) == ["box: 1.00 to 6.00 EUR"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (LIST.replace("spot", "spott"), "spott"),
        (LIST.replace("8.0", "1.0"), "spot must not cost more"),
        (LIST.replace("gpus = 4", "gpus = 0"), "gpus"),
        (LIST.replace("8.0", "nan"), "on_demand"),
        ('currency = "EUR"', "machine"),
        ("currency = ", "not TOML"),
        (None, "file not found"),
    ],
)
def test_what_is_no_price_list(tmp_path: Path, text: str | None, word: str) -> None:
    """Unknown keys, impossible prices, other files."""
    if text is not None:
        (tmp_path / "p.toml").write_text(text)
    with pytest.raises(SettingsError, match=word):
        read_prices(tmp_path / "p.toml")


def test_speeds_come_from_finished_jobs(tmp_path: Path) -> None:
    """Their spread makes the range; without any it is assumed, and wide; what ran on CPUs is no measure of GPUs."""
    assumed = Speeds.measured(str(tmp_path / "none"))
    assert (assumed.jobs, assumed.are_of_gpus) == (0, False)
    assert assumed.slowest < assumed.render < assumed.fastest
    store = LocalStore(tmp_path / "state")
    for number, seconds in enumerate((1.0, 2.0, 4.0)):
        write_speeds(store, f"run{number}", [JobSpeed(100, 1, seconds, "cuda" if number else "cpu")])
    speeds = Speeds.measured(str(tmp_path / "state"))
    assert (speeds.jobs, speeds.are_of_gpus) == (3, False)
    assert speeds.render == pytest.approx(300 / 7)
    assert 25 <= speeds.slowest < speeds.fastest <= 100
    store.remove("speeds/run0.json")
    assert Speeds.measured(str(tmp_path / "state")).are_of_gpus


def test_the_report_tells_what_a_run_cost(tmp_path: Path) -> None:
    """GPU seconds of all videos, at both prices."""
    (tmp_path / "p.toml").write_text(LIST)
    record = {"status": "done", "row": 1, "row_id": "a", "render_s": 7200.0, "identity": {"device": "cuda"}}
    run = RunRecord(run_id="r", manifest="m.csv", rows=1)
    report = RunReport(run, None, RowSheet.of([row_of(record, 1)], columns()))
    html = page(report, lambda job_id: None, read_prices(tmp_path / "p.toml").lines)
    assert "box: 1.00 to 4.00 EUR" in html
    assert "Cost" not in page(report, lambda job_id: None)
