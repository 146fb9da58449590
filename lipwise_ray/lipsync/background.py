"""Running stages of a stream side by side in threads, with a bounded number of items between them."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lipwise_ray.threads import join_surely

T = TypeVar("T")
Part = TypeVar("Part")
_POLL_S = 0.1


@dataclass(slots=True)
class Stage:
    """Busy time of a stage, its waiting for the stage before it left out."""

    busy_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count busy seconds, from several threads too: nothing is called between reading and writing the sum."""
        self.busy_s += seconds


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _End:
    pass


class Background(Generic[T]):
    """Runs an iterator in a thread; iterate over this object to get its items, in order.

    Args:
        source: Makes the iterator; called in the thread.
        depth: Most items waiting to be taken.

    Leaving the ``with`` block stops the thread, also when not all items were taken.
    """

    def __init__(self, source: Callable[[], Iterator[T]], depth: int) -> None:
        self._source = source
        self._items: queue.Queue[T | _Failure | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lipwise-stage", daemon=True)

    def __enter__(self) -> Background[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        join_surely(self._thread)

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._items.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item

    def _put(self, item: T | _Failure | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _run(self) -> None:
        try:
            for item in self._source():
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001  # handed to the taking thread, which raises it
            self._put(_Failure(error))
        else:
            self._put(_End())


def timed(items: Iterator[T], stage: Stage) -> Iterator[T]:
    """Yield items and add the time spent making them to a stage."""
    while True:
        begin = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            stage.busy_s += time.perf_counter() - begin
            return
        stage.busy_s += time.perf_counter() - begin
        yield item


def in_batches(
    items: Iterator[T],
    parts_of: Callable[[T], Sequence[Part]],
    run: Callable[[list[Part]], None],
    *,
    size: int,
    most_waiting: int,
) -> Iterator[T]:
    """Yield items in order, each once all its parts have been run, in batches of `size` over item borders.

    Args:
        items: Items that come in.
        parts_of: The parts of an item; may be none.
        run: Does a batch.
        size: Parts a batch.
        most_waiting: So many items wait at most; then a smaller batch is run.
    """
    waiting: deque[tuple[T, int]] = deque()  # with the number of parts up to and with the item's
    todo: deque[Part] = deque()
    seen = done = 0

    def run_some(leave: int) -> None:
        nonlocal done
        while len(todo) > leave:
            batch = [todo.popleft() for _ in range(min(size, len(todo)))]
            run(batch)
            done += len(batch)

    for item in items:
        parts = parts_of(item)
        todo.extend(parts)
        seen += len(parts)
        waiting.append((item, seen))
        run_some(leave=size - 1 if len(waiting) < most_waiting else 0)
        while waiting and waiting[0][1] <= done:
            yield waiting.popleft()[0]
    run_some(leave=0)
    for item, _ in waiting:
        yield item


def in_groups(
    items: Iterator[T], parts_of: Callable[[T], Sequence[Part]], size: int, most_items: int
) -> Iterator[list[T]]:
    """Yield items in groups of about `size` parts, and of no more than so many items.

    Args:
        items: Items that come in.
        parts_of: The parts of an item; may be none.
        size: Parts a group, if it is to be full.
        most_items: Items a group at most.
    """
    group: list[T] = []
    parts = 0
    for item in items:
        group.append(item)
        parts += len(parts_of(item))
        if parts >= size or len(group) >= most_items:
            yield group
            group, parts = [], 0
    if group:
        yield group
