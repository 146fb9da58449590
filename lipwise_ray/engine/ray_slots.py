"""What the driver knows of each of Ray's actors, and the agents that act for it on their nodes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lipwise_ray.dubbing.tasks import Lane, Task
from lipwise_ray.engine.contract import Seat
from lipwise_ray.engine.ray_actors import Agent
from lipwise_ray.values import Json

AGENT_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Slot:
    """An actor. It takes tasks once it has begun; ``node`` is empty until it is placed."""

    name: str
    lane: Lane
    actor: Any
    node: str = ""
    beginning: Any = None
    made_s: float = field(default_factory=time.monotonic)
    again: bool = False
    """It stands for one that did not begin in time."""
    about: Json = field(default_factory=dict[str, Any])
    task: Task | None = None
    mark: str = ""
    call: Any = None
    probe: Any = None
    asked_s: float = 0.0
    frames_before: int = 0
    frames_now: int = 0
    stalled: bool = False
    free_since_s: float = 0.0
    able: frozenset[str] | None = None

    @property
    def seat(self) -> Seat:
        """It as the dispatcher sees it."""
        return Seat(self.name, self.lane, self.node, self.able)


class Agents:
    """One agent a node, made when it is asked for the first time."""

    def __init__(self) -> None:
        self._by_node: dict[str, Any] = {}

    def ask(self, node: str, what: str, *arguments: object) -> object:
        """Let a node's agent do something; None where it cannot."""
        if node not in self._by_node:
            options = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
            remote: Any = ray.remote(Agent)
            self._by_node[node] = remote.options(**options).remote()
        try:
            return ray.get(getattr(self._by_node[node], what).remote(*arguments), timeout=AGENT_TIMEOUT_S)
        except ray.exceptions.RayError:
            self._by_node.pop(node, None)
            return None

    def close(self) -> None:
        """End them all."""
        for agent in self._by_node.values():
            ray.kill(agent, no_restart=True)
