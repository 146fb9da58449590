"""A stream in which every item is seen with those before and after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def with_neighbours(items: Iterable[Item], radius: int) -> Iterator[tuple[Item, list[tuple[int, Item]]]]:
    """Yield each item once `radius` more have come, with those around it that there are.

    Args:
        items: The stream.
        radius: How many before and after.

    Yields:
        An item, and pairs of a distance from `-radius` to `radius` and the item there, itself among them.
    """
    near: deque[Item] = deque()
    ahead = 0  # how many items of `near` lie after the one that is next

    def around(place: int) -> tuple[Item, list[tuple[int, Item]]]:
        first = max(0, place - radius)
        return near[place], [(at - place, near[at]) for at in range(first, min(len(near), place + radius + 1))]

    for item in items:
        near.append(item)
        ahead += 1
        if ahead > radius:
            ahead -= 1
            yield around(len(near) - 1 - ahead)
            if len(near) > 2 * radius:
                near.popleft()
    for left in range(ahead, 0, -1):
        yield around(len(near) - left)
