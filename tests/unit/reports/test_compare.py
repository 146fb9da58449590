"""Two runs side by side: what is paired, what is left out, and how sure a difference is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.reports.compare import ALL, Difference, compare, interval
from lipwise_ray.reports.row_sheet import RowSheet
from lipwise_ray.reports.rows import RunReport, columns, row_of
from lipwise_ray.state import layout
from lipwise_ray.state.run_records import RunRecord
from lipwise_ray.state.store import LocalStore, to_json
from tests.support.dub import run


def _record(
    name: str,
    lse_c: float | None,
    language: str = "de",
    *,
    judge: str = "syncnet_v2",
    offset: int = 0,
    sha256: str = "ab",
    evaluated: bool = False,
    detector: str = "d",
) -> Any:
    score = None if lse_c is None else {"lse_c": lse_c, "lse_d": 8.0, "offset": offset}
    return {
        "status": "done",
        "row_id": name,
        "job_id": f"job-{name}",
        "output": f"{name}.mp4",
        "frames": 10,
        "chunks": 1,
        "bytes_total": 5,
        "sha256": "0" * 64,
        "language": language,
        "sync": {"judge": judge, "judge_sha256": sha256, "after": score},
        "identity": {"detector": "d", "evaluation": 1} if evaluated else {"weights": {"detector": "d"}},
        "weights": {"detector": [{"name": "yunet", "sha256": detector}]},
        "flicker": {"dubbed": 1.0},
        "counts": {"frames": 10, "frames_without_face": 0, "frames_seen": 10, "frames_undubbed": 1},
    }


def _run(*records: Any) -> RunReport:
    return RunReport(
        RunRecord(run_id="r", manifest="m.csv", rows=len(records)),
        None,
        RowSheet.of((row_of(record, 1) for record in records), columns()),
    )


def _of(found: Any, figure: str, language: str = ALL) -> Difference:
    (one,) = [one for one in found.differences if (one.figure, one.language) == (figure, language)]
    return one


def test_rows_are_paired_by_their_ids() -> None:
    """Figures of rows that both have are compared by language; the others are counted."""
    a = _run(_record("x", 5.0), _record("y", 4.0, "fr", offset=-3), _record("z", 1.0), _record("w", 9.0))
    b = _run(_record("y", 6.0, "fr", offset=1), _record("x", 5.5), _record("w", None), _record("v", 2.0))
    found = compare(a, b)
    assert (found.only_a, found.only_b, found.other_judge) == (1, 1, 0)
    assert [row["row_id"] for row in found.rows] == ["x", "y", "w"]
    certain = _of(found, "lse_c")
    assert (certain.rows, certain.mean_a, certain.mean_b, certain.difference) == (2, 4.5, 5.75, 1.25)
    assert (certain.low, certain.high) == (0.5, 2.0)
    assert certain.is_clear
    assert _of(found, "off_sync").difference == -1.0
    single = _of(found, "lse_c", "fr")
    assert (single.rows, single.difference, single.low, single.is_clear) == (1, 2.0, None, False)
    assert not _of(found, "flicker").is_clear


def test_different_judges_do_not_compare() -> None:
    """Scores of one judge are no figures beside another's; what no judge gave is compared all the same."""
    found = compare(_run(_record("x", 5.0)), _run(_record("x", 0.7, judge="tiny_judge")))
    assert found.other_judge == 1
    assert {one.figure for one in found.differences} == {"flicker", "no_face_share", "undubbed_share"}


def test_two_files_of_a_users_own_are_two_judges() -> None:
    """What a judge is goes by its weights: any file of one's own is called custom."""
    found = compare(_run(_record("x", 21.5, judge="custom")), _run(_record("x", 0.1, judge="custom", sha256="cd")))
    assert found.other_judge == 1
    assert "lse_c" not in {one.figure for one in found.differences}
    assert found.rows[0]["judge_a"] != found.rows[0]["judge_b"]


def test_what_was_measured_in_other_ways_is_not_compared() -> None:
    """`submit` measures the face it dubbed, `evaluate` the one it finds in the file: their difference is no result.

    Nor is it where another detector's boxes were the crops.
    """
    for other in (_record("x", 5.5, evaluated=True), _record("x", 5.5, detector="e")):
        found = compare(_run(_record("x", 5.0)), _run(other))
        assert found.other_protocol == 1
        assert not found.differences


def test_where_faces_were_found_is_what_compares() -> None:
    """Records that tell their protocol compare by it, whatever the chunks of their detection were called."""
    for other, counts in (("p", 0), ("q", 1)):
        a, b = _record("x", 5.0, evaluated=True), _record("x", 5.5, evaluated=True)
        a |= {"protocol": "p"}
        b |= {"protocol": other, "identity": {"detector": "e", "evaluation": 1}}
        found = compare(_run(a), _run(b))
        assert found.other_protocol == counts
        assert bool(found.differences) == (not counts)


def test_nothing_in_common() -> None:
    """Runs of different manifests have nothing to compare."""
    with pytest.raises(StateError, match=r"have no finished rows in common \(of 1 and 1\)"):
        compare(_run(_record("x", 5.0)), _run(_record("y", 5.0)))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of a hundred samples of a known mean about 95 intervals hold it; the same rows give the same interval."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        sample = rng.normal(0.3, 1.0, 40)
        low, high = interval(sample)
        assert low is not None
        assert high is not None
        held += low <= 0.3 <= high
        assert interval(sample) == (low, high)
    assert 88 <= held <= 99


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    """Table on the screen, rows and summary as CSV, a plot that parses; a state without runs is an error."""
    import xml.etree.ElementTree as ET

    for state, more in (("a", 0.0), ("b", 0.5)):
        store = LocalStore(tmp_path / state)
        store.write(f"{layout.run('r')}/run.json", to_json({"run_id": "r", "manifest": "m.csv", "rows": 6}))
        for number in range(6):
            record = _record(f"<{number}>", 4.0 + number / 10 + more, "de" if number % 2 else "fr")
            store.write(layout.row("r", number, "done"), to_json({**record, "row": number}))
    done = run("evaluate", "compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first = next(line.split() for line in done.stdout.splitlines() if "lse_c" in line)
    assert first[:8] == ["all", "lse_c", "6", "4.250", "4.750", "4.250", "4.750", "+0.500"]
    assert first[-1] == "*"
    assert len((tmp_path / "out" / "rows.csv").read_text().splitlines()) == 7
    assert (tmp_path / "out" / "summary.csv").read_text().count("lse_c") == 3
    drawn = ET.parse(tmp_path / "out" / "lse_c.svg").getroot()  # our own file
    assert sum(element.tag.endswith("circle") for element in drawn.iter()) == 3
    failed = run("evaluate", "compare", tmp_path / "a", tmp_path / "none")
    assert failed.returncode == 2
    assert "none: nothing is there. Give what --state named" in failed.stderr
