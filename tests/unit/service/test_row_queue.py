"""Rows in a driver: who is next, and when a run ends."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest

from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.service import row_queue
from lipwise_ray.service.row_queue import QueuedRows, RowQueue


def _row(number: int, priority: int = 0, tenant: str = "") -> Row:
    tags = (tenant,) if tenant else ()
    return Row(number, f"r{number}", "v.mp4", "s.wav", f"r{number}.mp4", priority=priority, tags=tags)


def test_the_next_row() -> None:
    """The highest priority goes first, then the tenant with the fewest rows at work, then the oldest."""
    queue = RowQueue()
    for row in (_row(1, tenant="a"), _row(2, tenant="a"), _row(3, tenant="b"), _row(4, tenant="b")):
        queue.add(row, 1)
    queue.prioritise("r4", 5)
    taken = [queue.take(Counter(a=1), 0.0) for _ in range(3)]
    assert [row.id for row in taken if row] == ["r4", "r3", "r1"]


def test_rows_that_a_run_left_wait_again() -> None:
    """What ended is forgotten, what was cancelled is told of, the rest keeps its place."""
    queue = RowQueue()
    for number in range(1, 5):
        queue.add(_row(number), 1)
    for _ in range(3):
        queue.take(Counter(), 0.0)
    assert queue.cancel("r2") is None
    assert queue.unwanted(["r9"]) == set()
    assert queue.ended("r1", is_done=True) is not None
    assert queue.ended("r1", is_done=True) is None
    assert [one.row.id for one in queue.put_back(nothing_works=False).cancelled] == ["r2"]
    assert queue.cancel("r4") is not None
    assert [row.id for row in queue.rows()] == ["r3"]


def test_one_that_is_cancelled_at_work_is_told_of_once() -> None:
    """It is named until the run was told, and stays cancelled where that run ends before it lets go of it."""
    queue = RowQueue()
    queue.add(_row(1), 1)
    queue.take(Counter(), 0.0)
    queue.cancel("r1")
    assert queue.unwanted(["r1"]) == {"r1"}
    assert queue.unwanted(["r1"]) == {"r1"}  # the state could not be written
    queue.note_told("r1")
    assert queue.unwanted(["r1"]) == set()
    assert [one.row.id for one in queue.put_back(nothing_works=False).cancelled] == ["r1"]
    assert queue.rows() == []
    assert not queue.was_told("r1")


def test_whoever_waits_is_woken() -> None:
    """By a row that comes, and by the end."""
    queue, answers = RowQueue(), list[bool]()
    for wake in (lambda: queue.add(_row(1), 1), queue.close):
        waiting = threading.Thread(target=lambda: answers.append(queue.wait()))
        waiting.start()
        wake()
        waiting.join(10)
        queue.take(Counter(), 0.0)
    assert answers == [True, False]
    assert queue.take(Counter(), 1e6) is None


def test_a_run_stays_open_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what comes, looks on while rows are at work, and ends once nothing has come for some seconds."""
    monkeypatch.setattr(row_queue, "_STEP_S", 0.0)
    now_s = 0.0
    queue, grown = RowQueue(), list[int]()
    rows = QueuedRows(queue, lambda: now_s)
    rows.waiting(lambda: grown.append(rows.good))
    assert rows.take(Counter()) is None
    queue.add(_row(1), 1)
    first = rows.take(Counter())
    assert first is not None
    now_s = 100.0
    assert rows.take(Counter({"": 1})) is None
    now_s = 103.0
    assert rows.take(Counter()) is None
    assert rows.is_open
    queue.add(_row(2), 1)
    assert rows.take(Counter()) is not None
    now_s = 109.0
    assert (rows.take(Counter()), rows.is_open) == (None, False)
    queue.add(_row(3), 1)
    assert rows.take(Counter()) is None
    assert [(number, name) for number, name, _ in rows.outputs] == [(1, "r1"), (2, "r2")]
    assert (grown[-1], rows.good, rows.bad) == (2, 2, 0)


def test_a_run_has_so_many_rows_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one has the others, once those at work have ended."""
    monkeypatch.setattr(row_queue, "MOST_ROWS", 2)
    queue = RowQueue()
    for number in (1, 2, 3):
        queue.add(_row(number), 1)
    rows = QueuedRows(queue)
    assert [rows.take(Counter()) is not None for _ in range(2)] == [True, True]
    assert (rows.take(Counter({"": 2})), rows.is_open) == (None, True)
    assert (rows.take(Counter()), rows.is_open) == (None, False)
    assert [row.id for row in queue.rows()] == ["r3"]


def test_a_run_begins_with_the_row_whose_models_it_loads() -> None:
    """Where these break it, it is known by which row: the others wait, and another one is the next run's first."""
    queue = RowQueue()
    for row in (_row(1), _row(2), replace(_row(3), preset="fast")):
        queue.add(row, 1)
    rows = QueuedRows(queue)
    assert [[row.id for row in rows.variants] for _ in range(2)] == [["r1"], ["r1"]]
    queue.put_back(nothing_works=True)
    rows = QueuedRows(queue)
    assert [row.id for row in rows.variants] == ["r2"]
    taken = [row and row.id for row in (rows.take(Counter()), rows.take(Counter(a=1)), rows.take(Counter(a=2)))]
    assert taken == ["r2", "r3", "r1"]
    assert list(rows.variants) == []


def _ids(queue: RowQueue) -> list[str]:
    """Take all rows that are given now."""
    found: list[str] = []
    while (row := queue.take(Counter(), 0.0)) is not None:
        found.append(row.id)
    return found


def test_rows_with_which_nothing_works_block_nobody() -> None:
    """They come last, and once others are done each goes alone: it ends by itself, and the next one follows."""
    queue = RowQueue()
    for number in (1, 2, 3):
        queue.add(_row(number, priority=9), 1)
    for _ in range(3):
        assert _ids(queue) == ["r1", "r2", "r3"]  # while nothing shows that it is they, all are tried together
        queue.put_back(nothing_works=True)
    assert _ids(queue) == ["r1", "r2", "r3"]
    queue.put_back(nothing_works=False)
    queue.add(_row(4), 1)
    first = queue.take(Counter(), 0.0)
    assert first is not None
    assert first.id == "r4"
    queue.ended("r4", is_done=True)
    assert _ids(queue) == ["r1"]
    queue.ended("r1", is_done=False)
    assert _ids(queue) == ["r2"]
    queue.add(_row(5), 1)
    assert _ids(queue) == []
    queue.ended("r2", is_done=True)
    assert _ids(queue) == ["r5"]
    queue.ended("r5", is_done=True)
    assert _ids(queue) == ["r3"]


def _halt(queue: RowQueue) -> list[str]:
    """Take all rows that are given, in a run in which nothing works; return those that are given up."""
    assert _ids(queue)
    return [one.row.id for one in queue.put_back(nothing_works=True).given_up]


def test_a_few_rows_with_which_nothing_works_end_although_no_other_is_done() -> None:
    """After five runs each of them is done alone: one fails by itself, one is given up where the run halts again."""
    queue = RowQueue()
    for number in (1, 2, 3):
        queue.add(_row(number), 1)
    assert [_halt(queue) for _ in range(5)] == [[]] * 5
    assert _ids(queue) == ["r1"]
    queue.ended("r1", is_done=False)
    queue.put_back(nothing_works=False)
    assert _halt(queue) == ["r2"]
    assert _halt(queue) == ["r3"]
    assert queue.rows() == []


def test_a_row_that_comes_meanwhile_begins_the_count_anew() -> None:
    """What halts with others may be their fault, or the machine's: it is looked at once more."""
    queue = RowQueue()
    for number in (1, 2, 3):
        queue.add(_row(number), 1)
    for _ in range(4):
        _halt(queue)
    queue.add(_row(4), 1)
    assert [_halt(queue) for _ in range(4)] == [[]] * 4
    assert set(_ids(queue)) == {"r1", "r2", "r3", "r4"}


def test_a_machine_on_which_nothing_works_gives_up_no_backlog() -> None:
    """Neither a long one, nor row by row what comes in: so many at most until one is done."""
    queue = RowQueue()
    for number in range(1, 8):
        queue.add(_row(number), 1)
    assert [_halt(queue) for _ in range(20)] == [[]] * 20
    assert len(queue.rows()) == 7
    for number in range(1, 8):
        queue.cancel(f"r{number}")
    given_up: list[str] = []
    for first in range(10, 40, 3):
        for number in range(first, first + 3):
            queue.add(_row(number), 1)
        for _ in range(10):
            if queue.rows():
                given_up += _halt(queue)
    assert len(given_up) == row_queue.MOST_UNPROVEN
    queue.add(_row(90, priority=1), 1)
    assert "r90" in _ids(queue)
    queue.ended("r90", is_done=True)  # it works again: whatever still halts goes alone
    queue.put_back(nothing_works=True)
    assert len(_ids(queue)) == 1
