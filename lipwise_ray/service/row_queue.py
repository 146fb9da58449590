"""Rows that wait in a driver: others add them while runs take them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from lipwise_ray.pipeline.manifest.row_table import BadRow, Row

MOST_ROWS = 1_000
"""Of one run: what the state keeps of a run does not grow without end."""

_MOST_HALTS = 3
"""Runs in which nothing worked, after which a row that was at work in each of them is done alone."""

_MOST_SAME = 5
"""Runs in a row in which nothing worked while the same few rows were all there was: then each is done alone."""

MOST_UNPROVEN = 6
"""So many rows may be given up without one done in between. More are a backlog: rather the machine is at fault."""

_IDLE_S = 5.0
_STEP_S = 0.5
_RECORD_S = 1.0


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """A row, the attempt at its job, and its place among those of the same priority."""

    row: Row
    attempt: int
    number: int


@dataclass(frozen=True, slots=True)
class PutBack:
    """Rows of a run that did not end in it and do not wait again.

    Attributes:
        cancelled: Somebody cancelled them.
        given_up: Nothing worked with each of them alone, after others were done or it was tried often.
    """

    cancelled: list[QueuedRow]
    given_up: list[QueuedRow]


class RowQueue:
    """Rows by their ids, from any thread. A row is taken by the run, and stays known until it has ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, QueuedRow] = {}
        self._taken: dict[str, QueuedRow] = {}
        self._unwanted: set[str] = set()
        """Of those taken, the ones that somebody cancelled."""
        self._told: set[str] = set()
        """Of those, the ones that the run was told of."""
        self._halts: dict[str, int] = {}
        """Runs by row that ended with it at work because nothing worked."""
        self._worked_since: set[str] = set()
        """Of those, the ones after which some other row was done: the fault may be theirs."""
        self._halted: frozenset[str] = frozenset()
        """All rows that there were when nothing worked the last time."""
        self._halted_runs = 0
        """Runs in a row that ended so with the same rows there."""
        self._unproven = 0
        """Rows that were taken for the fault although none has been done since."""
        self._added = 0
        self._is_closed = False

    def add(self, row: Row, attempt: int) -> None:
        """Add a row."""
        with self._changed:
            self._added += 1
            self._waiting[row.id] = QueuedRow(row, attempt, self._added)
            self._changed.notify_all()

    def cancel(self, row_id: str) -> QueuedRow | None:
        """Return a row that waited and is gone now; None for another: one that is taken is `unwanted` from now on."""
        with self._changed:
            if row_id in self._taken:
                self._unwanted.add(row_id)
            else:
                self._halts.pop(row_id, None)
            return self._waiting.pop(row_id, None)

    def prioritise(self, row_id: str, priority: int) -> None:
        """Give a row that waits another priority."""
        with self._changed:
            queued = self._waiting.get(row_id)
            if queued is not None:
                self._waiting[row_id] = replace(queued, row=replace(queued.row, priority=priority))

    def close(self) -> None:
        """Let whoever waits go on, and give out nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """True once nothing more is given out."""
        return self._is_closed

    def wait(self) -> bool:
        """Wait, for as long as it takes, until a row is there; False once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return not self._is_closed

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, seconds)

    def take(self, at_work: Counter[str], patience_s: float) -> Row | None:
        """Return the next row: of the highest priority, then of the tenant with the fewest at work, then the oldest.

        Rows that were at work when nothing worked come last. Where others are done and those still halt every run, or
        a few are all there is and halt run after run, each of them is done alone, so that it ends by its own faults.

        Args:
            at_work: Rows at work by tenant.
            patience_s: Longest wait for a row, in seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, patience_s)
            if self._is_closed or not self._waiting or any(self._goes_alone(row_id) for row_id in self._taken):
                return None
            first = min(
                self._waiting.values(),
                key=lambda one: (
                    self._halts.get(one.row.id, 0),
                    -one.row.priority,
                    at_work.get(one.row.tenant, 0),
                    one.number,
                ),
            )
            if self._taken and self._goes_alone(first.row.id):
                return None
            self._taken[first.row.id] = self._waiting.pop(first.row.id)
            return first.row

    def _goes_alone(self, row_id: str) -> bool:
        return self._halts.get(row_id, 0) >= _MOST_HALTS and row_id in self._worked_since

    def ended(self, row_id: str, *, is_done: bool) -> QueuedRow | None:
        """Forget a row that has ended, and return it; None for one that was not taken.

        Args:
            row_id: Its id.
            is_done: It went well: rows can be done.
        """
        with self._changed:
            self._halts.pop(row_id, None)
            self._worked_since = {*self._halts} if is_done else self._worked_since & self._halts.keys()
            self._unproven = 0 if is_done else self._unproven
            self._unwanted.discard(row_id)
            self._told.discard(row_id)
            return self._taken.pop(row_id, None)

    def put_back(self, *, nothing_works: bool) -> PutBack:
        """Let rows wait again that a run took and did not end, but those that somebody cancelled or that are given up.

        Args:
            nothing_works: That is why the run ended.
        """
        with self._changed:
            cancelled = [self._taken.pop(one) for one in self._unwanted & self._taken.keys()]
            self._unwanted.clear()
            self._told.clear()
            # Alone no row has others to show that things work: it is what others were done after that it fails by.
            is_alone = nothing_works and len(self._taken) == 1
            alone = [row_id for row_id in self._taken if is_alone and self._goes_alone(row_id)]
            given_up = [self._taken.pop(row_id) for row_id in alone]
            for row_id in self._taken if nothing_works else ():
                self._halts[row_id] = self._halts.get(row_id, 0) + 1
            for queued in (*cancelled, *given_up):
                self._halts.pop(queued.row.id, None)
            self._worked_since &= self._halts.keys()
            was_together = nothing_works and bool(self._taken)
            self._waiting |= self._taken
            self._taken.clear()
            if was_together:
                self._suspect(frozenset(self._waiting))
            return PutBack(cancelled, given_up)

    def _suspect(self, rows: frozenset[str]) -> None:
        """Count a run in which nothing worked; where the queue has the same few rows each time, let each go alone.

        A machine on which nothing works gives up no backlog, few rows by few.

        Args:
            rows: All that there are.
        """
        self._halted_runs = self._halted_runs + 1 if rows == self._halted else 1
        self._halted = rows
        unproven = self._unproven + len(rows - self._worked_since)
        if self._halted_runs >= _MOST_SAME and unproven <= MOST_UNPROVEN:
            self._worked_since |= rows & self._halts.keys()
            self._unproven = unproven

    def unwanted(self, at_work: Collection[str]) -> set[str]:
        """Return the ids of rows at work that somebody cancelled and of which the run was not told."""
        with self._changed:
            return self._unwanted.intersection(at_work) - self._told

    def note_told(self, row_id: str) -> None:
        """Note that the run was told to let go of a row; it may come to its end before it does."""
        with self._changed:
            self._told.add(row_id)

    def was_told(self, row_id: str) -> bool:
        """Tell whether the run was told to let go of a row."""
        with self._changed:
            return row_id in self._told

    def rows(self) -> list[Row]:
        """Return the rows that wait."""
        with self._changed:
            return [queued.row for queued in self._waiting.values()]


class QueuedRows:
    """The rows of one run, taken from a queue: it ends by itself once nothing has come for a while.

    Args:
        queue: The queue.
        clock: Monotonic seconds.

    Attributes:
        name, sha256, shard, bad: As of a manifest that has no file.
    """

    def __init__(self, queue: RowQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = "the queue of the service"
        self.sha256 = ""
        self.shard = None
        self.bad = 0
        self._queue = queue
        self._clock = clock
        self._outputs: list[tuple[int, str, str]] = []
        self._recorded = 0
        self._recorded_s = clock()
        self._busy_s = clock()
        self._has_ended = False
        self._grown: Callable[[], None] = lambda: None
        self.first: Row | None = None
        """The row that is begun first, while its models are loaded."""

    @property
    def good(self) -> int:
        """Number of rows taken so far; the first one is there before it is taken."""
        return len(self._outputs) or 1

    @property
    def rows_total(self) -> int:
        """The same: there are no shards."""
        return self.good

    @property
    def is_open(self) -> bool:
        """True until the run is to end."""
        return not self._has_ended

    @property
    def variants(self) -> Iterator[Row]:
        """The row that is begun first, which is taken for it: what goes wrong while models are loaded is of this row.

        Models of others are loaded in their own tasks.
        """
        if self.first is None and not self._outputs:
            self.first = self._queue.take(Counter(), 0.0)
        return iter([self.first] if self.first else [])

    @property
    def outputs(self) -> Iterator[tuple[int, str, str]]:
        """Number, id and output of the rows taken so far."""
        return iter(self._outputs)

    @property
    def bad_rows(self) -> Iterator[BadRow]:
        """None: rows are checked before they are added."""
        return iter(())

    def waiting(self, grown: Callable[[], None]) -> QueuedRows:
        """Return these rows; `grown` is told of more of them, at most once a second, and at the end."""
        self._grown = grown
        return self

    def take(self, at_work: Counter[str]) -> Row | None:
        """Return the next row; None where there is none now, after a wait where nothing else is to be done."""
        if not self._has_ended:
            is_idle = not at_work.total()
            row, self.first = self.first, None
            if row is None and len(self._outputs) < MOST_ROWS:
                row = self._queue.take(at_work, _STEP_S if is_idle else 0.0)
            if row is not None:
                self._outputs.append((row.number, row.id, row.output))
            if row is not None or not is_idle:
                self._busy_s = self._clock()
            is_over = len(self._outputs) >= MOST_ROWS or self._clock() - self._busy_s > _IDLE_S
            self._has_ended = is_idle and row is None and is_over
            self._record()
            return row
        return None

    def _record(self) -> None:
        is_due = self._has_ended or self._clock() - self._recorded_s > _RECORD_S
        if is_due and self._recorded < len(self._outputs):
            self._recorded, self._recorded_s = len(self._outputs), self._clock()
            self._grown()
