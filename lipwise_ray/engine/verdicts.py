"""Whose fault a failure is and what follows from it. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from lipwise_ray.engine.contract import Blame, Failure

Purse = Literal["none", "application", "memory", "infrastructure"]

PURSES: dict[Blame, Purse] = {
    "input": "none",
    "setup": "none",
    "application": "application",
    "storage": "application",
    "crash": "application",
    "stalled": "application",
    "memory": "memory",
    "node": "infrastructure",
}
"""Which budget pays for a failure; ``none``: it would only happen again."""

_GUILTY_NODES = 2
_GUILTY_TASKS = 3
_FIRST_TASKS, _FIRST_JOBS = 12, 3


@dataclass(frozen=True, slots=True)
class Budgets:
    """How often a task may fail before it is given up.

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
class Record:
    """What a task went through in this run.

    Attributes:
        spent: Failures by budget.
        nodes: Nodes on which it failed by its own or the node's fault.
    """

    spent: dict[Purse, int] = field(default_factory=lambda: defaultdict(int))
    nodes: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again.

    Attributes:
        after_s: Seconds to wait.
        squeeze: How often to halve the batches.
        alone: Give it a node of its own.
    """

    after_s: float
    squeeze: int = 0
    alone: bool = False


def judge(record: Record, failure: Failure, node: str, budgets: Budgets) -> Retry | None:
    """Charge a failure to its budget and return what follows; None gives the task up.

    Args:
        record: The task's; changed.
        failure: What happened.
        node: Where.
        budgets: The limits.
    """
    purse = PURSES[failure.blame]
    record.spent[purse] += 1
    spent = record.spent[purse]
    if purse == "application":
        record.nodes.add(node)
        if spent >= budgets.application:
            return None
        return Retry(min(budgets.backoff_s * 2 ** (spent - 1), budgets.longest_backoff_s), record.spent["memory"])
    if purse == "memory":
        return Retry(0.0, squeeze=spent, alone=spent > 1) if spent <= budgets.memory else None
    if purse == "infrastructure" and spent < budgets.infrastructure:
        return Retry(0.0, record.spent["memory"], alone=record.spent["memory"] > 1)
    return None


class Neighbourhood:
    """Tells bad nodes from bad tasks.

    A node on which three different tasks failed is avoided. A task that failed on two nodes is
    guilty itself, and no longer counts against either.
    """

    def __init__(self) -> None:
        self._failed: dict[str, set[str]] = defaultdict(set)
        self._nodes: dict[str, set[str]] = defaultdict(set)

    def note(self, task_id: str, node: str) -> bool:
        """Note a failure by application; return whether the node is avoided from now on."""
        before = self.avoided
        self._nodes[task_id].add(node)
        if len(self._nodes[task_id]) >= _GUILTY_NODES:
            for known in self._nodes[task_id]:
                self._failed[known].discard(task_id)
        else:
            self._failed[node].add(task_id)
        return node in self.avoided and node not in before

    def forget(self, task_id: str) -> None:
        """Forget where a task failed that has ended."""
        self._nodes.pop(task_id, None)

    @property
    def avoided(self) -> set[str]:
        """Nodes that get no tasks while there are others."""
        return {node for node, tasks in self._failed.items() if len(tasks) >= _GUILTY_TASKS}


class FirstTasks:
    """Notices a run in which nothing works: the backlog must not be quarantined for it.

    Looks at the first twelve different tasks to end an attempt.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._failed = 0
        self._jobs: set[str] = set()
        self.reason: Failure | None = None
        """The failure that shows the run to be sick: most tasks failed, in three jobs, by no fault of their inputs."""

    @property
    def decided(self) -> bool:
        """Whether enough tasks were seen."""
        return self.reason is not None or len(self._seen) >= _FIRST_TASKS

    def note(self, task_id: str, job: str, failure: Failure | None) -> None:
        """Note the end of an attempt."""
        if self.decided or task_id in self._seen:
            return
        self._seen.add(task_id)
        if failure is None or PURSES[failure.blame] not in ("application", "memory"):
            return
        self._failed += 1
        self._jobs.add(job)
        if self._failed > _FIRST_TASKS // 2 and len(self._jobs) >= _FIRST_JOBS:
            self.reason = failure
