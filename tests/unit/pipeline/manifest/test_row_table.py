"""In which order the rows of a manifest are begun."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.row_table import Row, RowTable, Waiting
from lipwise_ray.pipeline.manifest.speakers import Speaker


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


def test_more_rows_than_are_read_ahead_come_in_order() -> None:
    """Of one tenant as of several, past what is written and read at once; and come back as they were."""
    table = RowTable()
    rows = [
        Row(
            line,
            f"r{line}",
            f"v{line}",
            None,
            f"{line}.mp4",
            end_s=3.0,
            tags=("t" if line % 3 else "u", "ü"),
            speakers=(Speaker("left", "a.wav", 1.0, 2.5),) if line % 2 else (),
            overrides={"faces": {"pads": [0, 1, 2, 3]}} if line % 5 else {},
            extra={"note": 'a "quote"'},
        )
        for line in range(2, 1500)
    ]
    for row in rows:
        table.add(row.line, row.id, row.output, f"out/{row.output}", row)
    table.close_entry()
    assert list(table.good()) == rows
    found = _order(Waiting(table))
    assert sorted(found, key=lambda row: row.line) == rows
    for tenant in ("t", "u"):
        assert [row for row in found if row.tenant == tenant] == [row for row in rows if row.tenant == tenant]
    assert list(table.outputs()) == [(row.line, row.id, row.output) for row in rows]
    assert {row.variant for row in table.variants()} == {row.variant for row in rows}
    assert len(list(table.variants())) == 4


def test_a_variant_is_told_of_by_its_first_row_that_can_be_done() -> None:
    """A row with a problem stands for no others."""
    table = _table([(0, ""), (0, ""), (0, "x")])
    table.add_problem(2, ManifestError("row", "line 2", got="wrong"))
    assert [row.line for row in table.variants()] == [3]


@given(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from(["", "a", "b", "c"])), max_size=40))
def test_every_row_comes_once_and_higher_priority_first(rows: list[tuple[int, str]]) -> None:
    """Whatever the tags: nothing is lost or repeated, and within priority and tag the file's order holds."""
    found = _order(Waiting(_table(rows)))
    assert sorted(row.line for row in found) == list(range(2, len(rows) + 2))
    assert [row.priority for row in found] == sorted((row.priority for row in found), reverse=True)
    for key in {(row.priority, row.tenant) for row in found}:
        lines = [row.line for row in found if (row.priority, row.tenant) == key]
        assert lines == sorted(lines)
