"""Chunks of a video that have no record in the state yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.values import Span


def missing_chunks(
    numbered: Iterable[tuple[int, Span]], key_of: Callable[[int], str], there: Iterable[str]
) -> tuple[NumberedSpan, ...]:
    """Return the chunks whose records are not there.

    Args:
        numbered: The chunks by their numbers.
        key_of: Names the record of a number.
        there: The keys of the records that are there.
    """
    known = set(there)
    return tuple(
        NumberedSpan(number, piece.start, piece.stop) for number, piece in numbered if key_of(number) not in known
    )
