"""Packed lines: what goes in comes out, whatever its order, and of several lines of a number the right one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.state.packed_lines import PackedLines

LINES = st.lists(
    st.tuples(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 40), st.binary(max_size=20)), max_size=120
)


def _line(number: int, text: bytes) -> tuple[int, bytes]:
    return number, text.replace(b"\n", b" ")


@given(LINES)
def test_the_first_or_the_last_line_of_a_number_counts(lines: list[tuple[int, bytes]]) -> None:
    """As a dictionary would have it, also while further lines come."""
    lines = [_line(*one) for one in lines]
    first, last = PackedLines(latest_counts=False), PackedLines(latest_counts=True)
    for place, (number, text) in enumerate(lines):
        first.add(number, text)
        last.add(number, text)
        if place % 50 == 7:
            assert last.get(number) == text
    expected = dict(lines)
    assert {number: first.get(number) for number in expected} == dict(reversed(lines))
    assert {number: last.get(number) for number in expected} == expected
    assert list(last.in_order()) == [text for _, text in sorted(expected.items())]


def test_a_number_without_a_line_has_none() -> None:
    """Before any line came, and after."""
    lines = PackedLines(latest_counts=True)
    assert lines.get(3) is None
    lines.add(2, b"two")
    assert lines.get(3) is None
