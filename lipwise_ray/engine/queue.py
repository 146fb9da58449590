"""Tasks of a lane that wait for a worker: who is next."""

from __future__ import annotations

import heapq
from collections import defaultdict

from lipwise_ray.dubbing.tasks import Task

_MOST_REMEMBERED = 1024
_Share = tuple[int, str]


class FairQueue:
    """Waiting tasks by priority, then by share, then by rank.

    Within a priority the share goes first of which least was handed out, counted in frames. So nobody waits for
    another's hours of video, and a share that is alone gets all workers. A share that comes later, or again, begins
    where the least served of the others is: nothing is saved up.
    """

    def __init__(self) -> None:
        self._heaps: dict[_Share, list[tuple[tuple[int, ...], str]]] = {}
        self._served: dict[_Share, int] = defaultdict(int)

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def push(self, task: Task) -> None:
        """Take a task in."""
        share = _share(task)
        if share not in self._heaps:
            least = min((self._served[one] for one in self._heaps if one[0] == share[0]), default=0)
            self._served[share] = max(self._served[share], least)
            if len(self._served) > _MOST_REMEMBERED:  # who was served less than anybody who waits need not be known
                known = {one: served for one, served in self._served.items() if one in self._heaps or served > least}
                self._served = defaultdict(int, known)
            self._heaps[share] = []
        heapq.heappush(self._heaps[share], (task.rank, task.id))

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
