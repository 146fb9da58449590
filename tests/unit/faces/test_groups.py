"""Groups that are joined by their faces, and never with somebody who is there at the same time."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwise_ray.faces.groups import Groups
from lipwise_ray.values import F64Array, Span


def _partition(groups: Groups) -> set[frozenset[int]]:
    return {frozenset(groups.members(int(group))) for group in groups.live}


def _best_pair_first(spans: list[Span], faces: F64Array, least: float) -> set[frozenset[int]]:
    """Join the best of all pairs, anew each time."""
    parts = [frozenset({number}) for number in range(len(spans))]
    while True:
        pairs: list[tuple[float, frozenset[int], frozenset[int]]] = []
        for one, other in itertools.combinations(parts, 2):
            meet = any(spans[a].start < spans[b].stop and spans[b].start < spans[a].stop for a in one for b in other)
            first, second = (faces[sorted(part)].sum(axis=0) for part in (one, other))
            length = float(np.linalg.norm(first) * np.linalg.norm(second))
            if not meet and length > 0:
                pairs.append((float(first @ second) / length, one, other))
        best = max(pairs, key=lambda pair: pair[0], default=None)
        if best is None or best[0] < least:
            return {*parts}
        parts = [part for part in parts if part not in best[1:]] + [best[1] | best[2]]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 24), st.sampled_from([0.1, 0.4, 0.8]))
def test_the_two_that_are_most_alike_come_first(seed: int, count: int, least: float) -> None:
    """As if all pairs were compared again after each step; who is there together, or has no embedding, stays apart."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 60, count)
    spans = [Span(int(start), int(start + rng.integers(1, 12))) for start in starts]
    faces = rng.normal(size=(4, 16))[rng.integers(0, 4, count)] + 0.7 * rng.normal(size=(count, 16))
    faces[rng.random(count) < 0.1] = 0
    groups = Groups([[span] for span in spans], faces)
    groups.join_alike(least)
    assert _partition(groups) == _best_pair_first(spans, faces, least)
    assert [int(groups.group[number]) in groups.live for number in range(count)] == [True] * count
