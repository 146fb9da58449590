"""Retries: the blame for a failure and what follows from it. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Literal

from lipwise_ray.scheduler.engine import DEVICE_ERROR, INTERNAL
from lipwise_ray.scheduler.task import AnyKind, Blame, Failure, Task

Budget = Literal["none", "application", "memory", "infrastructure"]

BUDGETS: dict[Blame, Budget] = {
    "input": "none",
    "setup": "none",
    "application": "application",
    "storage": "application",
    "signer": "application",
    "crash": "application",
    "stalled": "application",
    "memory": "memory",
    "node": "infrastructure",
}
"""Budget that pays for a failure, by blame; ``none``: it would only happen again."""

_GUILTY_NODES = 2
_GUILTY_TASKS = 3
_LATEST_TASKS, _MOST_FAILED, _FEWEST_JOBS = 12, 10, 3
_FEWEST_TASKS = 7
_MARKS_LAST_S = 600.0


@dataclass(frozen=True, slots=True)
class Budgets:
    """Failures that a task may have before it is given up.

    Attributes:
        application: Errors, crashes, standstill.
        memory: Out of memory: first tried with smaller batches, then alone on its node.
        infrastructure: Lost nodes; no fault of the task's.
        backoff_s: First wait after an application error; doubles each time.
        longest_backoff_s: No wait is longer.
    """

    application: int = 3
    memory: int = 2
    infrastructure: int = 20
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0


@dataclass(slots=True)
class TaskHistory:
    """Failures of a task in this run.

    Attributes:
        spent: Failures by budget.
        nodes: Nodes on which it failed by its own or the node's fault.
        workers: Workers in which it failed so.
        excused: Failures that were put on a sick process instead.
        failed_fresh: It failed as the first task of a process.
    """

    spent: dict[Budget, int] = field(default_factory=lambda: defaultdict(int))
    nodes: set[str] = field(default_factory=set[str])
    workers: set[str] = field(default_factory=set[str])
    excused: int = 0
    failed_fresh: bool = False

    @property
    def is_suspect(self) -> bool:
        """True where it failed, be it by a process's fault."""
        return self.excused > 0 or self.spent["application"] > 0 or self.spent["memory"] > 0

    def excuse(self, blame: Blame, budgets: Budgets) -> bool:
        """Take back a failure that was a process's; False where that was done often enough.

        So a task that makes every process sick comes to its end too.
        """
        budget = BUDGETS[blame]
        if self.excused >= budgets.application or not self.spent[budget]:
            return False
        self.excused += 1
        self.spent[budget] -= 1
        return True

    def may_go_on(self, blame: Blame, budgets: Budgets) -> bool:
        """Tell whether the budget that pays for such a failure is not spent."""
        budget = BUDGETS[blame]
        most = {"application": budgets.application - 1, "memory": budgets.memory}.get(budget, 0)
        return self.spent[budget] <= most


@dataclass(frozen=True, slots=True)
class Place:
    """Node and worker of an attempt; ``fresh`` when it was the first task of the process."""

    node: str
    worker: str
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again.

    Attributes:
        after_s: Seconds to wait.
        batch_halvings: How often to halve the batches.
        alone: Give it a node of its own.
        elsewhere: All its failures were in one process, and this attempt is the last: end that process first.
        fresh: It had better be a process's first task: each time it failed others had been there before it.
    """

    after_s: float
    batch_halvings: int = 0
    alone: bool = False
    elsewhere: bool = False
    fresh: bool = False


def decide_retry(record: TaskHistory, failure: Failure, where: Place, budgets: Budgets) -> Retry | None:
    """Charge a failure to its budget and return what follows; None gives the task up.

    Args:
        record: The task's; changed.
        failure: What happened.
        where: Where.
        budgets: The limits.
    """
    budget = BUDGETS[failure.blame]
    record.spent[budget] += 1
    spent = record.spent[budget]
    if budget == "application":
        record.nodes.add(where.node)
        record.workers.add(where.worker)
        record.failed_fresh |= where.fresh
        if spent >= budgets.application:
            may_be_others = spoils_its_process(failure) and not record.failed_fresh
            is_excused = may_be_others and record.excuse(failure.blame, budgets)
            return Retry(_wait_s(1, budgets), record.spent["memory"], fresh=True) if is_excused else None
        is_last = spent == budgets.application - 1
        return Retry(_wait_s(spent, budgets), record.spent["memory"], elsewhere=is_last and len(record.workers) == 1)
    if budget == "memory":
        return Retry(0.0, batch_halvings=spent, alone=spent > 1) if spent <= budgets.memory else None
    if budget == "infrastructure" and spent < budgets.infrastructure:
        return Retry(0.0, record.spent["memory"], alone=record.spent["memory"] > 1)
    return None


def retry_excused(record: TaskHistory, budgets: Budgets) -> Retry:
    """Return the retry of a task whose failure was put on its process."""
    return Retry(_wait_s(1, budgets), record.spent["memory"], alone=record.spent["memory"] > 1)


def _wait_s(failures: int, budgets: Budgets) -> float:
    return min(budgets.backoff_s * 2 ** (failures - 1), budgets.longest_backoff_s)


def spoils_its_process(failure: Failure) -> bool:
    """Tell whether nothing is known of the process any more in which a task failed so.

    An exception that nobody foresaw may come of what earlier tasks left behind; after most errors of a GPU every later
    call fails.
    """
    return failure.code in (INTERNAL, DEVICE_ERROR)


class ProcessHealth:
    """Tells sick processes from bad tasks.

    A process in which two different tasks failed in a row, none between them succeeding, is sick: their failures are
    its own. A process in which the latest task succeeded is proven.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[str, dict[str, Blame]] = defaultdict(dict)
        self._proven: set[str] = set()
        self._used: set[str] = set()

    def succeeded(self, worker: str) -> None:
        """Note that a task succeeded."""
        self._used.add(worker)
        self._in_a_row.pop(worker, None)
        self._proven.add(worker)

    def failed(self, worker: str, task_id: str, blame: Blame) -> dict[str, Blame]:
        """Note a failure; return the tasks that failed in a row, where they show the process to be sick.

        Args:
            worker: The worker whose process it is.
            task_id: The task that failed in it.
            blame: Party at fault; only failures of the application and of memory count.
        """
        self._used.add(worker)
        if BUDGETS[blame] not in ("application", "memory"):
            return {}
        self._proven.discard(worker)
        self._in_a_row[worker][task_id] = blame
        return dict(self._in_a_row[worker]) if len(self._in_a_row[worker]) > 1 else {}

    def ended(self, worker: str) -> None:
        """Forget a process that is gone."""
        self._in_a_row.pop(worker, None)
        self._proven.discard(worker)
        self._used.discard(worker)

    def is_fresh(self, worker: str) -> bool:
        """Tell whether a process has had no task."""
        return worker not in self._used

    def is_proven(self, worker: str) -> bool:
        """Tell whether the latest task of a process succeeded."""
        return worker in self._proven


class NodeHealth:
    """Tells bad nodes from bad tasks.

    A node on which three different tasks failed is avoided. A task that failed on two nodes is guilty itself, and no
    longer counts against either. What counts against a node is forgotten one by one with each task that succeeds there,
    and after ten minutes, so that it is tried again.
    """

    def __init__(self) -> None:
        self._failed: dict[str, dict[str, float]] = defaultdict(dict)
        """Monotonic time of each task's latest failure, by node; the oldest first."""
        self._nodes: dict[str, set[str]] = defaultdict(set)

    def failed(self, task_id: str, node: str, now_s: float) -> bool:
        """Note a failure by application; return whether the node is avoided from now on.

        Args:
            task_id: The task that failed.
            node: The node's id.
            now_s: Seconds of a clock that never goes back; that of `avoided`.
        """
        before = self.avoided(now_s)
        self._nodes[task_id].add(node)
        if len(self._nodes[task_id]) >= _GUILTY_NODES:
            for known in self._nodes[task_id]:
                self._failed[known].pop(task_id, None)
        else:
            self._failed[node].pop(task_id, None)
            self._failed[node][task_id] = now_s
        return node in self.avoided(now_s) and node not in before

    def succeeded(self, node: str) -> None:
        """Note that a task succeeded."""
        if marks := self._failed.get(node):
            del marks[next(iter(marks))]

    def forget(self, task_id: str) -> None:
        """Forget where a task failed that has ended."""
        self._nodes.pop(task_id, None)

    def avoided(self, now_s: float) -> set[str]:
        """Return the nodes that get no tasks while there are others."""
        for marks in self._failed.values():
            for task_id in [task_id for task_id, since_s in marks.items() if now_s - since_s >= _MARKS_LAST_S]:
                del marks[task_id]
        return {node for node, marks in self._failed.items() if len(marks) >= _GUILTY_TASKS}


class CircuitBreaker:
    """Notices a run in which nothing works any more: the backlog must not be quarantined for it.

    With a failure it begins to look at the tasks of that kind that end, each by its latest attempt, and at the latest
    twelve of them. When ten failed, in three jobs and by no fault of their inputs, the run is sick. When fewer did, it
    is well, and nothing is looked at until a task of the kind fails again. Kinds are apart, because tasks that need no
    GPU succeed beside one that is broken.
    """

    def __init__(self) -> None:
        self._ended: dict[AnyKind, OrderedDict[str, str]] = {}
        """The latest tasks of the kinds that are looked at: the job of one that failed, else nothing."""
        self.reason: Failure | None = None
        """The failure that shows the run to be sick."""
        self.why = "most of the latest tasks failed"

    def is_undecided(self, kind: AnyKind) -> bool:
        """Tell whether tasks of a kind failed and too few have ended since to say whose fault it is."""
        return kind in self._ended

    def succeeded(self, task: Task) -> None:
        """Note that a task succeeded: never a reason to stop, even where most others failed."""
        if task.kind in self._ended and not self._is_sick(self._note(task, "")):
            self._look_away_when_seen(task.kind)

    def failed(self, task: Task, failure: Failure) -> None:
        """Note a failure."""
        if BUDGETS[failure.blame] not in ("application", "memory"):
            return
        if self._is_sick(self._note(task, task.job_id or task.id)):
            self.reason = failure
        else:
            self._look_away_when_seen(task.kind)

    def conclude(self, kind: AnyKind, failure: Failure) -> None:
        """Decide by the tasks there are: all that are left to try have failed. One success shows that things work.

        Args:
            kind: The kind of the tasks that are left.
            failure: Becomes the reason where the run is sick.
        """
        jobs = list(self._ended.pop(kind, {}).values())
        if all(jobs) and len(jobs) >= _FEWEST_TASKS and len(set(jobs)) >= _FEWEST_JOBS:
            self.reason = failure

    def stop(self, failure: Failure, why: str) -> None:
        """Declare the run sick: nothing that is tried in it can succeed.

        Args:
            failure: The failure that shows it.
            why: A clause for people that can follow ``run <id>:``.
        """
        if self.reason is None:
            self.reason, self.why = failure, why

    def _note(self, task: Task, failed_job: str) -> list[str]:
        ended = self._ended.setdefault(task.kind, OrderedDict())
        ended[task.id] = failed_job
        ended.move_to_end(task.id)
        if len(ended) > _LATEST_TASKS:
            ended.popitem(last=False)
        return [job for job in ended.values() if job]

    def _is_sick(self, failed_jobs: list[str]) -> bool:
        return len(failed_jobs) >= _MOST_FAILED and len(set(failed_jobs)) >= _FEWEST_JOBS

    def _look_away_when_seen(self, kind: AnyKind) -> None:
        if len(self._ended[kind]) == _LATEST_TASKS:
            del self._ended[kind]
