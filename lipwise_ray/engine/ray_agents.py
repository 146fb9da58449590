"""The agents that act for the driver on their nodes: processes that hang are ended by them, and logs read."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lipwise_ray.engine.ray_session import ray_logs
from lipwise_ray.engine.ray_starts import log_end, words_of_start

AGENT_TIMEOUT_S = 10.0


class Agent:
    """Looks after the processes of one node."""

    def kill(self, pid: int) -> None:
        """End a process that may not listen any more."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def tail(self, log: str, mark: str) -> str:
        """Return what a worker's log says since the last line that ends in `mark`, its end only."""
        return log_end(Path(log)).rpartition(f"--- {mark}\n")[2]

    def words_of_start(self, scratch: str, worker: str) -> tuple[bool, str]:
        """Return what is known of a worker that does not begin, see `ray_starts`."""
        return words_of_start(scratch, worker, ray_logs())


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
