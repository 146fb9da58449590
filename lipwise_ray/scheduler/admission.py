"""Admission of planned rows to rendering: a tenant's begun chunks are bounded. Pure: no clock, no I/O."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A row that was let in: whose it is, and how many chunks it brought."""

    tenant: str
    chunks: int


@dataclass(slots=True)
class Admission:
    """Lets rows in, tenant by tenant, in the queue's order; one alone always fits.

    What it does for a row takes as long with thousands at work as with one.

    Attributes:
        most_chunks: Chunks of a tenant's rows that are inside at a time.
    """

    most_chunks: int
    _inside: dict[int, _Admitted] = field(default_factory=dict[int, _Admitted])
    _chunks: Counter[str] = field(default_factory=Counter[str])
    _rows: Counter[str] = field(default_factory=Counter[str])
    _queues: dict[str, list[tuple[tuple[int, ...], int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Of each tenant a heap of rank, number of the call, and row."""
    _waiting: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """Number of the call and chunks of each row that waits; what a queue holds besides is left over."""
    _calls: count[int] = field(default_factory=count)

    def wait(self, row: int, tenant: str, rank: tuple[int, ...], chunks: int) -> None:
        """Let a row wait; one that is inside goes out first, for this is another attempt at it.

        Args:
            row: Its line.
            tenant: Its tenant.
            rank: Its place in the queue: lower goes first.
            chunks: Chunks that it brings.
        """
        self.leave(row)
        call = next(self._calls)
        self._waiting[row] = call, chunks
        heapq.heappush(self._queues[tenant], (rank, call, row))

    def leave(self, row: int) -> None:
        """Forget a row that has ended, wherever it is."""
        self._waiting.pop(row, None)
        admitted = self._inside.pop(row, None)
        if admitted is None:
            return
        self._chunks[admitted.tenant] -= admitted.chunks
        self._rows[admitted.tenant] -= 1
        if not self._rows[admitted.tenant]:
            del self._rows[admitted.tenant], self._chunks[admitted.tenant]

    def admitted(self, tenant: str) -> Iterator[int]:
        """Yield a tenant's rows that there is room for now; each is inside from then on."""
        queue = self._queues.get(tenant, [])
        while queue:
            _, call, row = queue[0]
            known = self._waiting.get(row)
            if known is None or known[0] != call:
                heapq.heappop(queue)
                continue
            chunks = known[1]
            if self._rows[tenant] and self._chunks[tenant] + chunks > self.most_chunks:
                return
            heapq.heappop(queue)
            del self._waiting[row]
            self._inside[row] = _Admitted(tenant, chunks)
            self._chunks[tenant] += chunks
            self._rows[tenant] += 1
            yield row
        self._queues.pop(tenant, None)
