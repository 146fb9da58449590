"""A stream of items with those around them."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.lipsync.neighbours import with_neighbours


@given(st.integers(0, 30), st.integers(0, 5))
def test_every_item_has_its_neighbours(count: int, radius: int) -> None:
    """As many on both sides as there are, at their distances."""
    found = list(with_neighbours(range(count), radius))
    assert [item for item, _ in found] == list(range(count))
    for item, near in found:
        expected = range(max(0, item - radius), min(count, item + radius + 1))
        assert near == [(other - item, other) for other in expected]


def test_no_more_items_are_taken_than_are_needed() -> None:
    """An item comes once those after it have come."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    stream = with_neighbours(items(), 2)
    assert next(stream)[0] == 0
    assert taken == [0, 1, 2]
