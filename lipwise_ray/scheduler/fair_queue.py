"""Tasks of a lane that wait for a worker: who is next."""

from __future__ import annotations

import heapq
from collections import defaultdict

from lipwise_ray.scheduler.task import Task

_MOST_REMEMBERED = 1024
_Tenant = tuple[int, str]


class FairQueue:
    """Waiting tasks by priority, then by tenant, then by rank.

    Within a priority the tenant goes first of which least was handed out, counted in frames. So nobody waits for
    another's hours of video, and a tenant that is alone gets all workers. A tenant that comes later, or again, begins
    where the least served of the others is: nothing is saved up.
    """

    def __init__(self) -> None:
        self._heaps: dict[_Tenant, list[tuple[tuple[int, ...], str]]] = {}
        self._served: dict[_Tenant, int] = defaultdict(int)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, task: Task) -> None:
        """Take a task in."""
        tenant = _tenant(task)
        if tenant not in self._heaps:
            least = min((self._served[one] for one in self._heaps if one[0] == tenant[0]), default=0)
            self._served[tenant] = max(self._served[tenant], least)
            if len(self._served) > _MOST_REMEMBERED:  # who was served less than anybody who waits need not be known
                known = {one: served for one, served in self._served.items() if one in self._heaps or served > least}
                self._served = defaultdict(int, known)
            self._heaps[tenant] = []
        heapq.heappush(self._heaps[tenant], (task.rank, task.id))
        self._length += 1

    def pop(self) -> str:
        """Return the id of the next task.

        Raises:
            IndexError: There is none.
        """
        if not self._heaps:
            raise IndexError
        tenant = min(self._heaps, key=lambda one: (one[0], self._served[one], self._heaps[one][0]))
        _, task_id = heapq.heappop(self._heaps[tenant])
        self._length -= 1
        if not self._heaps[tenant]:
            del self._heaps[tenant]
        return task_id

    def serve(self, task: Task) -> None:
        """Count a task as handed out."""
        self._served[_tenant(task)] += max(1, task.frames)

    def remove(self, task: Task) -> None:
        """Take a waiting task out."""
        tenant = _tenant(task)
        waiting = self._heaps.get(tenant, [])
        heap = [item for item in waiting if item[1] != task.id]
        self._length -= len(waiting) - len(heap)
        heapq.heapify(heap)
        self._heaps[tenant] = heap
        if not heap:
            del self._heaps[tenant]


def _tenant(task: Task) -> _Tenant:
    return task.rank[0], task.tenant
