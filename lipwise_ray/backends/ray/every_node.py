"""One question to every node of a cluster, also to those that do no work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lipwise_ray.backends.ray.map import connected

_Answer = TypeVar("_Answer")
_ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class NodeAnswer(Generic[_Answer]):
    """Answer of a node.

    Attributes:
        node: Its address.
        gpus: GPUs that Ray has there.
        value: The answer; None where there is none.
        problem: Why there is none.
        skew_s: Seconds by which its clock is ahead of this machine's.
    """

    node: str
    gpus: float
    value: _Answer | None
    problem: str = ""
    skew_s: float = 0.0


def ask_every_node(
    address: str, question: Callable[[], _Answer], most_s: float = _ANSWER_S
) -> Iterator[NodeAnswer[_Answer]]:
    """Yield the answer of each living node, in the order in which they come.

    Args:
        address: Of the cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        question: Is asked in a process there.
        most_s: The time that all of them have.

    Raises:
        SetupError: The cluster cannot be reached.
    """
    with connected(address):
        import ray  # after its environment is set
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def asked() -> tuple[_Answer, float]:
            return question(), time.time()

        remote: Any = ray.remote(asked)
        waiting: dict[Any, tuple[str, float]] = {}
        for node in ray.nodes():
            if node["Alive"]:
                on_that_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                call = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=on_that_node).remote()
                waiting[call] = node["NodeManagerAddress"], float(node["Resources"].get("GPU", 0.0))
        deadline_s = time.monotonic() + most_s
        while waiting:
            ready, _ = ray.wait(list(waiting), timeout=max(0.0, deadline_s - time.monotonic()))
            here_s = time.time()
            for call in ready:
                name, gpus = waiting.pop(call)
                try:
                    value, there_s = ray.get(call)
                except RayError as error:
                    problem = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                    yield NodeAnswer(name, gpus, None, problem)
                else:
                    yield NodeAnswer(name, gpus, value, skew_s=there_s - here_s)
            if not ready:
                yield from (
                    NodeAnswer(name, gpus, None, f"no answer in {most_s:.0f} s") for name, gpus in waiting.values()
                )
                return


def computes_here() -> bool:
    """Tell, in a process of a cluster, whether Ray has CPUs or GPUs on this node; else only drivers run here."""
    import ray  # after its environment is set

    here = ray.get_runtime_context().get_node_id()
    return any(node["Resources"].get(kind) for node in ray.nodes() if node["NodeID"] == here for kind in ("CPU", "GPU"))
