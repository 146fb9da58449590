"""Slots: the driver's knowledge of each of Ray's actors, and the agents that act for it on their nodes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lipwise_ray.backends.ray.actors import Agent, Begun, Pulse, RemoteWorker
from lipwise_ray.backends.ray.session import Nodes
from lipwise_ray.backends.worker_config import RunnerMaker, WorkerConfig
from lipwise_ray.scheduler.engine import WorkerSlot
from lipwise_ray.scheduler.task import Lane, Task
from lipwise_ray.state.shapes import WorkerMemory

AGENT_TIMEOUT_S = 10.0
_ASK_EVERY_S = 0.2


@dataclass(slots=True)
class ActorSlot:
    """An actor. It takes tasks once it is ready; ``node`` is empty until it is placed.

    Attributes:
        name: The engine's name of the worker.
        lane: Lane of the tasks that it takes.
        actor: Ray's handle of it.
        node: Id of its node.
        beginning: Reference of the call in which it tells who it is; None once that has ended.
        loading: Reference of the call that loads its models; None once that has ended, and where it has none.
        made_s: Monotonic time at which it was made.
        about: Facts that it reported when it began.
        task, mark, call: Task in flight, the name of the attempt in its log, and the reference of the call.
        probe, asked_s: Reference of the latest question for its frames, and the monotonic time at which it was asked.
        frames_before, frames_now: Frames that it had finished when the task was handed out, and when it last answered.
        memory: Memory that it last told of; None before.
        stalled: It was ended, as it made no progress.
        free_since_s: Monotonic time since which it has had no task.
        offers: Names of what it can do; None before it has begun.
    """

    name: str
    lane: Lane
    actor: Any
    node: str = ""
    beginning: Any = None
    loading: Any = None
    made_s: float = field(default_factory=time.monotonic)
    again: bool = False
    """It stands for one that did not begin in time."""
    about: Begun | None = None
    task: Task | None = None
    mark: str = ""
    call: Any = None
    probe: Any = None
    asked_s: float = 0.0
    frames_before: int = 0
    frames_now: int = 0
    memory: WorkerMemory | None = None
    stalled: bool = False
    free_since_s: float = 0.0
    offers: frozenset[str] | None = None

    @property
    def worker_slot(self) -> WorkerSlot:
        """It as the dispatcher sees it."""
        return WorkerSlot(self.name, self.lane, self.node, self.offers)

    @property
    def awaited(self) -> Any:  # noqa: ANN401  # Ray's references have no static type
        """Reference of the call that it has to end before it is ready; None once it is."""
        return self.loading if self.beginning is None else self.beginning

    @property
    def is_ready(self) -> bool:
        """True where it has begun and loaded its models."""
        return self.about is not None and self.awaited is None

    @property
    def pid(self) -> int:
        """Its process, once it has begun."""
        assert self.about is not None  # only then it takes tasks
        return self.about.pid

    def get_on(self, answer: Begun | None) -> None:
        """Take note of the end of the call that was awaited: the facts that a worker reports, or that it has loaded."""
        self.free_since_s = time.monotonic()
        if answer is None:
            self.loading = None
            return
        self.beginning, self.about, self.node = None, answer, answer.node
        self.offers = answer.capabilities.offers if answer.capabilities else None

    def ask(self, timeout_s: float) -> None:
        """Ask the actor for its frames, and wait for the answer.

        Raises:
            RayError: It is gone, or gives none in time.
        """
        pulse: Pulse = ray.get(self.actor.pulse.remote(), timeout=timeout_s)
        self.frames_now = pulse.frames

    def count(self, now_s: float) -> bool:
        """Ask the actor for its frames now and then, without waiting for it; False where it is gone."""
        if not self.is_ready or now_s - self.asked_s < _ASK_EVERY_S:
            return True
        if self.probe is not None:
            ready, _ = ray.wait([self.probe], timeout=0)
            if not ready:
                return True
            try:
                pulse: Pulse = ray.get(self.probe)
            except ray.exceptions.RayError:
                self.probe = None
                return False
            self.frames_now, self.memory = pulse.frames, pulse.memory
        self.probe, self.asked_s = self.actor.pulse.remote(), now_s
        return True


def make_actor(
    config: WorkerConfig,
    make_runner: RunnerMaker,
    name: str,
    node: str,
    *,
    not_on: list[str],
    cpus: float,
    gpus: float,
    start_s: float,
) -> Any:  # noqa: ANN401  # Ray's handles have no static type
    """Ask Ray for a worker.

    It gets no runtime environment of its own: a node that has just joined would make two at a time of one run.

    Args:
        config: What it is told.
        make_runner: Makes what does its tasks.
        name: The engine's name of it.
        node: Where it is to live; empty leaves the choice to Ray.
        not_on: Nodes that Ray is not to choose.
        cpus: Cores that it reserves.
        gpus: GPUs, or the part of one, that it reserves.
        start_s: The time it has to begin.
    """
    options: dict[str, Any] = {"num_cpus": cpus, "max_restarts": 0, "max_task_retries": 0}
    if gpus:
        options["num_gpus"] = gpus
    if node:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
    elif not_on:
        options["label_selector"] = {"ray.io/node-id": f"!in({','.join(not_on)})"}
    remote: Any = ray.remote(concurrency_groups={"control": 1})(RemoteWorker)  # type: ignore[call-overload]  # missing in Ray's stubs
    return remote.options(**options).remote(config, make_runner, name, start_s)


class Agents:
    """One agent a node, made when it is asked for the first time."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._by_node: dict[str, Any] = {}

    def ask(self, node: str, what: str, *arguments: object) -> object:
        """Let a node's agent do something; None where it cannot.

        Args:
            node: Id of the node.
            what: Name of a method of `Agent`.
            arguments: Its arguments.
        """
        self._nodes.alive()
        if self._nodes.head_is_silent:  # Ray would not come back from the question
            return None
        if node not in self._by_node:
            options = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
            remote: Any = ray.remote(Agent)
            self._by_node[node] = remote.options(**options).remote()
        try:
            return ray.get(getattr(self._by_node[node], what).remote(*arguments), timeout=AGENT_TIMEOUT_S)
        except ray.exceptions.RayError:
            self._by_node.pop(node, None)
            return None

    def tail(self, slot: ActorSlot) -> str:
        """Return the end of a worker's log of its latest attempt, empty where it cannot be had."""
        log = slot.about.log if slot.about else ""
        return str(self.ask(slot.node, "tail", log, slot.mark) or "") if log else ""

    def close(self) -> None:
        """End them all."""
        for agent in self._by_node.values():
            ray.kill(agent, no_restart=True)
