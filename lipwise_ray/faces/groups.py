"""Groups of tracks of one person: joined step by step, and never with somebody who is there at the same time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lipwise_ray.values import BoolArray, F64Array, I64Array, Span

_BLOCK, _FEWEST = 512, 2


class Groups:
    """A partition of tracks, or of people found so far, by numbers from 0.

    Args:
        spans: The frames of each.
        total: Sum of the embeddings of each, shape (N, values); zeros where none was embedded.

    Attributes:
        group: Group of each, shape (N,): the number of one of its members.
        is_known: Mask of the groups with an embedding, shape (N,).
    """

    def __init__(self, spans: Sequence[Sequence[Span]], total: F64Array) -> None:
        count = len(spans)
        self.group: I64Array = np.arange(count)
        self._members = [[number] for number in range(count)]
        self._is_live = np.ones(count, np.bool_)
        self._meets = _meetings(spans)
        self._total = total.copy()
        length = np.linalg.norm(total, axis=1)
        self._unit = total / np.where(length > 0, length, 1.0)[:, None]
        self.is_known = length > 0

    @property
    def live(self) -> I64Array:
        """The groups that there are, rising."""
        return np.flatnonzero(self._is_live)

    def members(self, group: int) -> list[int]:
        """Return the numbers of those in a group."""
        return self._members[group]

    @property
    def anybody_meets(self) -> bool:
        """True where two groups have a frame in common."""
        live = self.live
        return bool(self._meets[np.ix_(live, live)].any())

    def partners(self, one: int) -> BoolArray:
        """Return a mask of the groups with which one may be joined: others, never in a frame with it."""
        mask = self._is_live & ~self._meets[one]
        mask[one] = False
        return mask

    def cosines(self, one: int, others: I64Array) -> F64Array:
        """Return the likeness of a group to others, shape of `others`; nan where either has no embedding."""
        found = self._unit[others] @ self._unit[one]
        return np.where(self.is_known[one] & self.is_known[others], found, np.nan)

    def join(self, one: int, other: int) -> int:
        """Make one group of two that may be; return its number."""
        if len(self._members[one]) < len(self._members[other]):
            one, other = other, one
        self.group[self._members[other]] = one
        self._members[one] += self._members[other]
        self._members[other] = []
        self._is_live[other] = False
        self._meets[one] |= self._meets[other]
        self._meets[:, one] = self._meets[one]
        self._total[one] += self._total[other]
        length = float(np.linalg.norm(self._total[one]))
        self._unit[one] = self._total[one] / (length or 1.0)
        self.is_known[one] = length > 0
        return one

    def join_alike(self, least: float) -> None:
        """Join groups by their faces, the two that are most alike first, as long as two are as alike as `least`.

        Takes about N products of all embeddings with one, of those N who are still apart.
        """
        while not self._joined_alike(self.live[self.is_known[self.live]], least):
            pass

    def _joined_alike(self, some: I64Array, least: float) -> bool:
        """Join groups of `some` until none are alike (then return True), or only half of them are left."""
        unit, apart = self._unit[some], self._meets[np.ix_(some, some)]
        np.fill_diagonal(apart, val=True)
        best, partner = _nearest(unit, apart)
        is_stale = np.zeros(len(some), np.bool_)
        left = len(some)
        while left > max(1, len(some) // 2):
            one = int(best.argmax())
            if best[one] < least:
                return True
            if is_stale[one]:  # its partner has changed since, and it may be less like it
                row = np.where(apart[one], -np.inf, unit @ unit[one])
                best[one], partner[one], is_stale[one] = row.max(), row.argmax(), False
                continue
            other = int(partner[one])
            kept = one if self.join(int(some[one]), int(some[other])) == some[one] else other
            gone = other if kept == one else one
            left -= 1
            is_stale |= (partner == one) | (partner == other)
            unit[kept] = self._unit[some[kept]]
            apart[kept] |= apart[gone]
            apart[:, kept] = apart[kept]
            apart[gone] = apart[:, gone] = True
            row = np.where(apart[kept], -np.inf, unit @ unit[kept])
            best[gone], best[kept], partner[kept], is_stale[kept] = -np.inf, row.max(), row.argmax(), False
            nearer = row > best
            best[nearer], partner[nearer], is_stale[nearer] = row[nearer], kept, False
        return left < _FEWEST


def _nearest(unit: F64Array, apart: BoolArray) -> tuple[F64Array, I64Array]:
    """Return each one's largest cosine with another from which it is not kept apart, and which that is, shapes (N,)."""
    best, partner = np.full(len(unit), -np.inf), np.zeros(len(unit), np.int64)
    for start in range(0, len(unit), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosine = np.where(apart[block], -np.inf, unit[block] @ unit.T)
        best[block], partner[block] = cosine.max(axis=1), cosine.argmax(axis=1)
    return best, partner


def _meetings(spans: Sequence[Sequence[Span]]) -> BoolArray:
    """Return a mask of the pairs with a frame in common, shape (N, N)."""
    flat = [(span.start, span.stop, number) for number, some in enumerate(spans) for span in some]
    start, stop, owner = np.array(flat, np.int64).reshape(-1, 3).T
    meets = np.zeros((len(spans), len(spans)), np.bool_)
    for first, end, number in flat:
        meets[number, owner[(start < end) & (stop > first)]] = True
    np.fill_diagonal(meets, val=False)
    return meets
