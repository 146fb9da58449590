"""Number of render workers, and of the threads of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from lipwise_ray.backends.gpu_part import part_for_all
from lipwise_ray.backends.ray.session import ROUNDING, Node
from lipwise_ray.scheduler.task import Lane
from lipwise_ray.settings.model import EngineSettings


def workers_and_threads(
    settings: EngineSettings, nodes: Collection[Node], gpu_slots: int, *, gpu: bool
) -> tuple[int, int]:
    """Return the number of render workers, 0 for one a GPU slot, and the threads of each.

    Args:
        settings: What is asked for.
        nodes: The nodes that are there.
        gpu_slots: Workers that find room on their GPUs.
        gpu: Whether workers render on GPUs.
    """
    cores = max(1, int(sum(node.cpus for node in nodes)))
    workers = settings.workers or (0 if gpu else max(1, cores // 2))
    # A worker lives on one node: it cannot have more threads than the smallest one with cores.
    widest = min((int(node.cpus) for node in nodes if node.cpus >= 1), default=1)
    share = cores // (workers or gpu_slots or 1)
    return workers, settings.threads_per_worker or min(max(1, share), widest)


def part_of_gpu(settings: EngineSettings, nodes: Collection[Node], need_bytes: int) -> float:
    """Return the part of a GPU that a render worker takes.

    Args:
        settings: What is asked for.
        nodes: The nodes that are there.
        need_bytes: GPU memory that a worker needs.
    """
    if settings.gpus_per_worker != "auto":
        return settings.gpus_per_worker
    return part_for_all([(node.cpus, node.gpus, node.accelerator) for node in nodes], need_bytes)


def node_with_room(
    nodes: Collection[Node], used: Counter[str], lane: Lane, *, gpus: float, threads: int, other_than: str = ""
) -> str:
    """Return the node that has most room for another worker of a lane, empty where none has any.

    Args:
        nodes: Those that may take one.
        used: How many workers of the lane each has, by its id.
        lane: The worker's.
        gpus: GPUs, or the part of one, that a render worker takes; 0 where it computes on cores.
        threads: Cores that it takes then.
        other_than: Taken only where there is no other.
    """

    def room(node: Node) -> float:
        if lane == "cpu":
            return node.cpus - used[node.id]
        return node.gpus - (used[node.id] + 1) * gpus if gpus else node.cpus - (used[node.id] + 1) * threads

    fitting = [node for node in nodes if (node.cpus if lane == "cpu" else room(node) > -ROUNDING)]
    return max(fitting, key=lambda node: (node.id != other_than, room(node))).id if fitting else ""
