"""Silhouette of the lower face's mesh: how far it reaches from a place inside."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lipwise_ray.faces.lower_face import triangles
from lipwise_ray.values import F64Array, I64Array


def reach(points: F64Array, rays: F64Array) -> F64Array:
    """Return the distance at which each ray first leaves the mesh, shape (A,); 0 where it is not in it at first.

    A ray is in as many triangles as it has entered and not left. Edges between two triangles change nothing of that,
    but where the mesh is folded over: so few edges need be looked at.

    Args:
        points: Of the mesh, from the place at which rays begin, shape (M, 2).
        rays: Their directions, of length 1, shape (A, 2).
    """
    edges, beside, runs = _edges()
    x, y = points.T
    one, two, three = triangles().T
    is_front = (x[two] - x[one]) * (y[three] - y[one]) >= (x[three] - x[one]) * (y[two] - y[one])
    turns = np.append(np.where(is_front, 1, -1), 0)
    entered = (turns[beside] * runs).sum(axis=0)
    chosen = np.flatnonzero(entered)
    begin, end = edges[:, chosen]
    along, aside = points @ rays.T, points @ np.stack([-rays[:, 1], rays[:, 0]])
    is_left = aside >= 0
    edge, ray = np.divmod(np.flatnonzero(is_left[begin] != is_left[end]), len(rays))
    begin, end, entered = begin[edge], end[edge], entered[chosen[edge]]
    from_line, to_line, from_start = aside[begin, ray], aside[end, ray], along[begin, ray]
    share = from_line / (from_line - to_line)
    distance = from_start + share * (along[end, ray] - from_start)
    ahead = distance > 0
    ray, distance = ray[ahead], distance[ahead]
    found = np.zeros(len(rays))
    if len(ray) == len(rays) and (np.bincount(ray, minlength=len(rays)) == 1).all():  # no fold, no hollow
        found[ray] = distance
        return found
    return _first_exits(ray, distance, np.where(from_line > to_line, entered, -entered)[ahead], len(rays))


def _first_exits(ray: I64Array, distance: F64Array, enters: I64Array, rays: int) -> F64Array:
    """Return the distance at which each ray is in no triangle any more, shape (rays,).

    Args:
        ray: Number of a ray that crosses an edge, shape (N,).
        distance: How far from its begin, shape (N,).
        enters: How many triangles more it is in from there on, shape (N,).
        rays: How many there are; in the end each is in none.
    """
    order = np.lexsort((distance, ray))
    ray, distance, enters = ray[order], distance[order], enters[order]
    begin = np.searchsorted(ray, np.arange(rays + 1))
    to_come = np.append(np.cumsum(enters[::-1])[::-1], 0)  # of a ray and those after it
    after = to_come[begin[1:]]
    is_inside = to_come[begin[:-1]] < after
    exits = np.flatnonzero(to_come[1:] >= after[ray])[::-1]
    found = np.zeros(rays)
    found[ray[exits]] = distance[exits]  # the first one of each ray is written last
    return np.where(is_inside, found, 0)


@lru_cache(maxsize=1)
def _edges() -> tuple[I64Array, I64Array, I64Array]:
    """Return the edges of the mesh.

    Returns:
        Numbers of the points that each goes from and to, shape (2, E); numbers of the triangles beside it, the second
        one past the last where there is but one, shape (2, E); and 1 where such a triangle has it in this direction,
        -1 where it runs against it, shape (2, E).
    """
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, corners in enumerate(triangles().tolist()):
        for begin, end in zip(corners, [*corners[1:], corners[0]], strict=True):
            found.setdefault((min(begin, end), max(begin, end)), []).append((number, 1 if begin < end else -1))
    nobody = (len(triangles()), 0)
    pairs = np.array([[*sides, nobody][:2] for sides in found.values()], np.int64)
    return np.array(list(found), np.int64).T.copy(), pairs[..., 0].T.copy(), pairs[..., 1].T.copy()
