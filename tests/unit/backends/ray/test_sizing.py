from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lipwise_ray.backends.ray.session import Node
from lipwise_ray.backends.ray.sizing import node_with_room, part_of_gpu, workers_and_threads
from lipwise_ray.settings.model import EngineSettings


def _node(name: str, cpus: float, gpus: float = 0.0) -> Node:
    return Node(name, cpus, gpus, "127.0.0.1", 1, draining=False)


@pytest.mark.parametrize(
    ("settings", "cpus", "expected"),
    [
        ({}, (8,), (4, 2)),
        ({"workers": 2}, (8,), (2, 4)),
        ({"workers": 1}, (8, 2), (1, 2)),
        ({"threads_per_worker": 3}, (8,), (4, 3)),
        ({}, (1,), (1, 1)),
    ],
)
def test_workers_share_the_cores(settings: dict, cpus: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Half as many as cores, unless told; none has more threads than the smallest node has cores."""
    nodes = [_node(str(number), count) for number, count in enumerate(cpus)]
    assert workers_and_threads(EngineSettings(**settings), nodes, 0, gpu=False) == expected


def test_gpus_say_how_many_workers_there_are() -> None:
    """Their number is left open, and the cores are shared by those that find room on GPUs."""
    assert workers_and_threads(EngineSettings(), [_node("a", 16, 4)], 4, gpu=True) == (0, 4)


def test_a_worker_goes_where_most_room_is() -> None:
    """Workers that are there count; a node that failed before is taken only where there is no other."""
    nodes = [_node("a", 4), _node("b", 8)]
    room = {"lane": "gpu", "gpus": 0.0, "threads": 2}
    assert node_with_room(nodes, Counter(), **room) == "b"
    assert node_with_room(nodes, Counter(b=3), **room) == "a"
    assert node_with_room(nodes, Counter(), **room, other_than="b") == "a"
    assert node_with_room(nodes, Counter(a=2, b=4), **room) == ""
    assert node_with_room([_node("g", 4, 1)], Counter(), "gpu", gpus=0.5, threads=2) == "g"
    assert node_with_room([_node("g", 4, 1)], Counter(g=2), "gpu", gpus=0.5, threads=2) == ""


def test_a_part_of_a_gpu_goes_by_the_nodes() -> None:
    """What is set counts; else GPUs that Ray knows are shared, as far as the job leaves memory."""
    nodes = [replace(_node("a", 16, 1), accelerator="H200"), _node("b", 4)]
    auto = EngineSettings(gpus_per_worker="auto")
    assert part_of_gpu(auto, nodes, 12 << 30) == 0.25
    assert part_of_gpu(auto, nodes, 60 << 30) == 0.5
    assert part_of_gpu(auto, [_node("c", 16, 1)], 1) == 1
    assert part_of_gpu(EngineSettings(gpus_per_worker=0.3), nodes, 1) == 0.3
