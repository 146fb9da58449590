"""In which order the rows of a manifest are begun."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.pipeline.manifest.row_table import Row, RowTable, Waiting


def _table(rows: list[tuple[int, str]]) -> RowTable:
    table = RowTable()
    for line, (priority, tenant) in enumerate(rows, 2):
        row = Row(line, f"r{line}", "v", "a", f"{line}.mp4", priority=priority, tags=(tenant,) if tenant else ())
        table.add(line, row.id, row.output, f"out/{row.output}", row)
    table.close_entry()
    return table


def _order(waiting: Waiting, at_work: Counter[str] | None = None) -> list[Row]:
    found: list[Row] = []
    while (row := waiting.take(at_work or Counter())) is not None:
        found.append(row)
    return found


def test_tenants_are_served_in_rotation() -> None:
    """A hundred rows of one tag do not keep the two of another waiting; within a tag the oldest goes first."""
    rows = [(0, "a")] * 5 + [(0, "b")] * 2 + [(0, "")]
    found = [(row.tenant, row.line) for row in _order(Waiting(_table(rows)))]
    assert found == [("a", 2), ("b", 7), ("", 9), ("a", 3), ("b", 8), ("a", 4), ("a", 5), ("a", 6)]


def test_the_tenant_with_the_fewest_rows_at_work_goes_first() -> None:
    """Slow rows of one tag do not fill all slots."""
    waiting = Waiting(_table([(0, "slow"), (0, "slow"), (0, "quick"), (0, "quick"), (0, "other")]))
    at_work: Counter[str] = Counter({"slow": 3, "quick": 1})
    begun: list[str] = []
    while (row := waiting.take(at_work)) is not None:
        begun.append(row.tenant)
        at_work[row.tenant] += 1
    assert begun == ["other", "quick", "quick", "slow", "slow"]


@given(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from(["", "a", "b", "c"])), max_size=40))
def test_every_row_comes_once_and_higher_priority_first(rows: list[tuple[int, str]]) -> None:
    """Whatever the tags: nothing is lost or repeated, and within priority and tag the file's order holds."""
    found = _order(Waiting(_table(rows)))
    assert sorted(row.line for row in found) == list(range(2, len(rows) + 2))
    assert [row.priority for row in found] == sorted((row.priority for row in found), reverse=True)
    for key in {(row.priority, row.tenant) for row in found}:
        lines = [row.line for row in found if (row.priority, row.tenant) == key]
        assert lines == sorted(lines)
