"""A report's rows on the disk: what goes in comes out, and memory does not grow with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipwise_ray.reports import page
from lipwise_ray.reports.row_sheet import FlatRow, RowDetail, RowSheet
from lipwise_ray.reports.rows import LEFT, collect, columns, row_of
from lipwise_ray.reports.write import write_report
from lipwise_ray.state import layout
from lipwise_ray.state.local import LocalStore
from lipwise_ray.state.store import to_json

RUN = "20260101T000000-abcdef"


def test_rows_and_details_come_back_as_they_were() -> None:
    """Types hold, flags too; bytes of a name that are no text come as letters; rows stay in their order."""
    rows: list[FlatRow] = [
        row_of({"status": "done", "row": 9, "row_id": "ü\udc80", "reused": True, "seconds": 1.5, "frames": 3}, 2),
        row_of({"status": "failed", "row": 2, "row_id": "b", "code": "no_face"}, 0),
    ]
    detail = RowDetail((1.0, None), {"network": 2.0})
    sheet = RowSheet(columns())
    sheet.add(rows[0], detail)
    sheet.add(rows[1])
    assert list(sheet) == [{**rows[0], "row_id": "ü\\udc80"}, rows[1]]
    assert [one for _, one in sheet.with_details()] == [detail, RowDetail()]
    assert (sheet.detail(9), sheet.detail(2), len(sheet)) == (detail, RowDetail(), 2)
    assert sheet.rows_among([2, 3]) == {2}
    assert list(sheet.column("frames")) == [3.0]


class _Counted(LocalStore):
    """Counts the keys that are read at a time, and ledgers."""

    most_at_a_time = 0
    logs = 0

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        self.most_at_a_time = max(self.most_at_a_time, len(keys))
        return super().read_all(keys)

    def log(self, key: str) -> Iterator[bytes]:
        self.logs += 1
        return super().log(key)


def _run(store: LocalStore, rows: int) -> None:
    store.write(layout.run_record(RUN), to_json({"run_id": RUN, "manifest": "m.csv", "begun": 1.0, "rows": 2 * rows}))
    for row in range(rows):
        done = {"status": "done", "row": row, "row_id": f"r{row}", "job_id": f"j{row}", "output": f"/o/{row}.mp4"}
        facts = {"bytes_total": 1, "sha256": "0" * 64, "frames": 25, "chunks": 1, "ended": 2.0 + row}
        store.write(layout.row(RUN, row, "done"), to_json(done | facts))
        store.append(layout.attempts(f"j{row}"), b'{"event": "leased", "run": "%s"}' % RUN.encode())
    for row in range(2 * rows):
        store.append(layout.planned(RUN), b'{"row": %d, "row_id": "r%d", "output": "/o/%d.mp4"}' % (row, row, row))


def test_ledgers_are_read_side_by_side_and_rows_some_at_a_time(tmp_path: Path) -> None:
    """Each row's ledger is read once; no more records are asked for at a time than a bound, and none is left out."""
    store = _Counted(tmp_path)
    _run(store, 1100)
    report = collect(store, RUN)
    assert (len(report.rows), len(report.left), store.logs) == (1100, 1100, 1100 + 1)  # and the log of unchanged rows
    assert 1 < store.most_at_a_time <= 512
    assert sum(report.rows.column("attempts")) == 1100
    assert [row["row"] for row in report.rows] == list(range(1100))
    assert [row["row"] for row in report.left] == list(range(1100, 2200))
    assert set(next(iter(report.left))) == set(LEFT)


@pytest.mark.slow
def test_memory_of_a_report_does_not_grow_with_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are nowhere held: what a thousand more take is what the page shows of them, and no more than that."""

    def peak(rows: int) -> int:
        store = LocalStore(tmp_path / str(rows))
        _run(store, rows)
        tracemalloc.start()
        write_report(store, RUN, tmp_path / "out")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    monkeypatch.setattr(page, "_MOST_LISTED", 20)
    peak(20)  # what is imported at first
    few, many = peak(300), peak(900)
    assert many - few < 600 * 300  # bytes of their keys, as a folder lists them; a row held took ten times as many
