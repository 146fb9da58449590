"""Tasks of a lane that wait for a worker: who is next."""

from __future__ import annotations

import heapq
from collections import defaultdict

from lipwise_ray.dubbing.tasks import Task

_Share = tuple[int, str]


class FairQueue:
    """Waiting tasks by priority, then by share, then by rank.

    Within a priority the share goes first of which least was handed out, counted in frames. So nobody waits for
    another's hours of video, and a share that is alone gets all workers.
    """

    def __init__(self) -> None:
        self._heaps: dict[_Share, list[tuple[tuple[int, ...], str]]] = {}
        self._served: dict[_Share, int] = defaultdict(int)

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def push(self, task: Task) -> None:
        """Take a task in."""
        heapq.heappush(self._heaps.setdefault(_share(task), []), (task.rank, task.id))

    def pop(self) -> str:
        """Return the id of the next task.

        Raises:
            IndexError: There is none.
        """
        if not self._heaps:
            raise IndexError
        share = min(self._heaps, key=lambda one: (one[0], self._served[one], self._heaps[one][0]))
        _, task_id = heapq.heappop(self._heaps[share])
        if not self._heaps[share]:
            del self._heaps[share]
        return task_id

    def serve(self, task: Task) -> None:
        """Count a task as handed out."""
        self._served[_share(task)] += max(1, task.frames)

    def remove(self, task: Task) -> None:
        """Take a waiting task out."""
        share = _share(task)
        heap = [item for item in self._heaps.get(share, []) if item[1] != task.id]
        heapq.heapify(heap)
        self._heaps[share] = heap
        if not heap:
            del self._heaps[share]


def _share(task: Task) -> _Share:
    return task.rank[0], task.share
