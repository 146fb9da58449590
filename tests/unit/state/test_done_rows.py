"""Logs of rows that are done: what later runs may go by, and what they may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scripted_workers import published
from lipwise_ray.state import layout
from lipwise_ray.state.done_rows import DoneRow, DoneRows, note_done, note_reused, reused_outcomes
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.state.store import Store, open_store

DIGEST, RUN = "d" * 24, "20260101T000000-000000"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A state in a folder."""
    return open_store(str(tmp_path / "state"))


def _result(tmp_path: Path) -> DubResult:
    return published("r", str(tmp_path / "r.mp4"), 2)


def _outcome(result: DubResult) -> RowOutcome:
    secret = {"api_key": "a-secret-of-the-row", "town": "Bern"}
    return RowOutcome(row=2, row_id="r", job_id=result.job_id, seconds=1.0, ended=1.0, extra=secret, result=result)


def test_a_row_is_known_by_its_digest(store: Store, tmp_path: Path) -> None:
    """What a run noted comes back with its result, and under no other digest."""
    result = _result(tmp_path)
    note_done(store, RUN, DIGEST, ["1-2-3"], _outcome(result))
    store.flush(everything=True)
    known = DoneRows(store, 1)
    row = known.get(DIGEST)
    assert row is not None
    assert row.outcome.result == replace(result, reused=True)
    assert known.get("e" * 24) is None


def test_a_damaged_line_is_nobodys(store: Store, tmp_path: Path) -> None:
    """A figure that another one was written over is not believed, though the line is whole JSON."""
    note_done(store, RUN, DIGEST, ["1-2-3"], _outcome(_result(tmp_path)))
    store.flush(everything=True)
    (file,) = (path for path in (tmp_path / "state").rglob("*done.jsonl*") if path.is_file())
    text = file.read_bytes()
    assert b'"frames":500' in text
    file.write_bytes(text.replace(b'"frames":500', b'"frames":400'))
    assert DoneRows(store, 1).get(DIGEST) is None


def test_a_row_with_original_chunks_is_begun_again(store: Store, tmp_path: Path) -> None:
    """Its chunks are in quarantine, and `retry` lets a later run make them."""
    note_done(store, RUN, DIGEST, [], _outcome(replace(_result(tmp_path), original_chunks=(1,))))
    store.flush(everything=True)
    assert DoneRows(store, 1).get(DIGEST) is None


def test_no_secret_reaches_a_log(store: Store, tmp_path: Path) -> None:
    """Columns whose names are those of secrets lose their texts in both logs; others keep them."""
    note_done(store, RUN, DIGEST, [], _outcome(_result(tmp_path)))
    store.flush(everything=True)
    row = DoneRows(store, 1).get(DIGEST)
    assert row is not None
    note_reused(store, RUN, [replace(row, extra={"api_key": "a-secret-of-the-row", "town": "Bern"})])
    store.flush(everything=True)
    for key in (layout.done(RUN), layout.reused(RUN)):
        text = b"\n".join(store.log(key))
        assert b"a-secret-of-the-row" not in text
        assert b"Bern" in text
    (outcome,) = reused_outcomes(store, RUN)
    assert outcome.extra is not None
    assert outcome.extra["town"] == "Bern"


def test_a_damaged_line_does_not_hide_an_earlier_one_of_its_row(store: Store, tmp_path: Path) -> None:
    """Outcomes come in the manifest's order, and of two lines of a row the later one counts, if it is whole."""
    result = published("r", str(tmp_path / "r.mp4"), 2)
    rows = [
        DoneRow(digest=DIGEST, inputs=('a],"row":9,"row_id":',), row=row, row_id=name, result=result)
        for row, name in ((7, "seven"), (3, "three"), (7, "later"), (3, "damaged"))
    ]
    note_reused(store, RUN, rows)
    store.flush(everything=True)
    (file,) = (path for path in (tmp_path / "state").rglob("*reused.jsonl*") if path.is_file())
    file.write_bytes(file.read_bytes().replace(b'"row_id":"damaged"', b'"row_id":"DAMAGED"'))
    assert [(one.row, one.row_id) for one in reused_outcomes(store, RUN)] == [(3, "three"), (7, "later")]


def test_the_latest_run_counts(store: Store, tmp_path: Path) -> None:
    """Of a row that several runs had done, as the last of them left it."""
    for number, run in enumerate((RUN, "20260102T000000-000000")):
        done = replace(_outcome(_result(tmp_path)), row=number + 2)
        note_done(store, run, DIGEST, ["1-2-3"], done)
    store.flush(everything=True)
    row = DoneRows(store, 1).get(DIGEST)
    assert row is not None
    assert row.row == 3
