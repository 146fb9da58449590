"""Rows that wait to be rendered: how many chunks of a tenant are at work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.scheduler.admission import Admission


def _let_in(admission: Admission, tenant: str = "") -> list[int]:
    return list(admission.admitted(tenant))


def test_the_first_in_the_queue_goes_in_first_and_nobody_overtakes_it() -> None:
    """A short row does not pass a long one that goes before it and does not fit yet."""
    admission = Admission(10)
    admission.wait(1, "", (0,), 6)
    assert _let_in(admission) == [1]
    admission.wait(3, "", (2,), 1)
    admission.wait(2, "", (1,), 8)
    assert _let_in(admission) == []
    admission.leave(1)
    assert _let_in(admission) == [2, 3]


def test_one_alone_always_fits() -> None:
    """A row of more chunks than there may be goes in where nobody else is, and keeps others out."""
    admission = Admission(10)
    admission.wait(1, "", (0,), 99)
    admission.wait(2, "", (1,), 1)
    assert _let_in(admission) == [1]
    admission.leave(1)
    assert _let_in(admission) == [2]


def test_tenants_are_bounded_each_for_itself() -> None:
    """What one has at work keeps no other out."""
    admission = Admission(2)
    for row, tenant in ((1, "a"), (2, "a"), (3, "b")):
        admission.wait(row, tenant, (row,), 2)
    assert (_let_in(admission, "a"), _let_in(admission, "b")) == ([1], [3])


def test_another_attempt_at_a_row_waits_anew() -> None:
    """Its chunks do not count twice; a row that ends while it waits is forgotten."""
    admission = Admission(4)
    admission.wait(1, "", (0,), 3)
    assert _let_in(admission) == [1]
    admission.wait(1, "", (9,), 4)
    admission.wait(2, "", (1,), 4)
    assert _let_in(admission) == [2]
    admission.leave(1)
    admission.leave(2)
    assert _let_in(admission) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40))
def test_what_is_inside_stays_within_its_bound(rows: list[tuple[int, int]]) -> None:
    """Whatever comes and goes, more than the bound is inside only as one row alone; in the end all were let in."""
    admission, inside, seen = Admission(8), dict[int, int](), list[int]()
    for row, (place, chunks) in enumerate(rows):
        admission.wait(row, "", (place,), chunks)
        for one in _let_in(admission):
            inside[one] = rows[one][1]
            seen.append(one)
        assert sum(inside.values()) <= 8 or len(inside) == 1
        if len(inside) > 2:
            gone = next(iter(inside))
            del inside[gone]
            admission.leave(gone)
    while inside:
        gone = next(iter(inside))
        del inside[gone]
        admission.leave(gone)
        for one in _let_in(admission):
            inside[one] = rows[one][1]
            seen.append(one)
    assert sorted(seen) == list(range(len(rows)))
