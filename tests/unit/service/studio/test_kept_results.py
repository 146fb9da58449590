"""Results that are made aside: once, again while they may change, and never more than some at once."""

from __future__ import annotations

import threading

import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.reports.report_links import NO_LINKS
from lipwise_ray.reports.row_sheet import RowSheet
from lipwise_ray.service.studio import kept_results
from lipwise_ray.service.studio.kept_results import KeptResults
from lipwise_ray.service.studio.row_filter import FilterChoices, RowFilter

_LONG_S = 20.0


def test_a_final_result_is_made_once() -> None:
    """Whoever asks again gets the same; another name is made for itself, and the oldest is forgotten."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    kept = KeptResults(make, lambda _: True, 2)
    assert [kept.get(name, _LONG_S) for name in "aab"] == ["A", "A", "B"]
    assert made == ["a", "b"]
    assert kept.get("c", _LONG_S) == "C"
    assert kept.get("a", _LONG_S) == "A"
    assert made == ["a", "b", "c", "a"]


def test_nobody_waits_for_slow_work() -> None:
    """None is there until it is done; the older result stands in while a newer one is made."""
    goes_on, numbers = threading.Semaphore(0), iter(range(9))

    def make(_: str) -> int:
        goes_on.acquire()
        return next(numbers)

    kept = KeptResults(make, lambda _: False, 2)
    assert kept.get("a") is None
    goes_on.release()
    assert kept.get("a", _LONG_S) == 0


def test_a_changing_result_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not within a moment of the last time; then it is."""
    numbers = iter(range(9))
    kept = KeptResults(lambda _: next(numbers), lambda number: number == 1, 2)
    assert [kept.get("a", _LONG_S), kept.get("a", _LONG_S)] == [0, 0]
    monkeypatch.setattr(kept_results, "_FRESH_S", 0.0)
    monkeypatch.setattr(kept_results, "_REST", 0)
    assert [kept.get("a", _LONG_S), kept.get("a", _LONG_S)] == [1, 1]


def test_what_cannot_be_made_says_so_and_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is the asker's; a fault of the code is one too, and hangs nobody."""

    def make(name: str) -> str:
        if name == "bad":
            raise StateError("no_runs", name, got="holds no run")
        if name == "worse":
            raise ValueError(name)
        return name

    unhandled: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda about: unhandled.append(about.exc_type))
    kept = KeptResults(make, lambda _: True, 5)
    with pytest.raises(StateError, match="holds no run"):
        kept.get("bad", _LONG_S)
    with pytest.raises(RuntimeError, match="a fault of its own"):
        kept.get("worse", _LONG_S)
    assert kept.get("good", _LONG_S) == "good"
    for thread in threading.enumerate():
        if "(_work)" in thread.name:
            thread.join(_LONG_S)
    assert unhandled == [ValueError]


def test_a_filter_takes_texts_as_they_are() -> None:
    """Quotes and wildcards of SQL are letters; its query leads to the same rows."""
    columns = ("row", "row_id", "status", "verdict", "language", "tags")
    rows = RowSheet.of(
        [
            {"row": 1, "row_id": "a'b%", "status": "done", "verdict": "good", "language": None, "tags": "x,yy"},
            {"row": 2, "row_id": "c", "status": "failed", "verdict": "failed", "language": "de", "tags": ""},
        ],
        columns,
    )

    def found(wanted: RowFilter) -> list[str]:
        return [str(row["row_id"]) for row in rows.where(*wanted.condition())]

    assert found(RowFilter(text="A'B%")) == ["a'b%"]
    assert found(RowFilter(tag="y")) == []
    assert found(RowFilter(tag="yy", language="not given")) == ["a'b%"]
    assert found(RowFilter(status="' OR 1 --")) == []
    assert RowFilter(tag="a&b", text="c d").query(3) == "tag=a%26b&text=c+d&page=3"
    choices = FilterChoices.of(rows)
    assert choices.languages == ["de", "not given"]
    assert choices.tags == ["x", "yy"]


def test_texts_of_a_sheet_are_rewritten() -> None:
    """Those with the mark are changed, other texts and numbers stay."""
    rows = RowSheet.of([{"row": 1, "row_id": "a/b"}, {"row": 2, "row_id": "c"}], ("row", "row_id"))
    rows.rewrite(str.upper, "/")
    assert [(row["row"], row["row_id"]) for row in rows] == [(1, "A/B"), (2, "c")]


def test_a_page_of_its_own_has_no_links() -> None:
    """Names and addresses stay what they are."""
    assert NO_LINKS.row("<a>") == "<a>"
    assert NO_LINKS.video("a", None) == ""
