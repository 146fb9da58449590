"""Part of a GPU that a worker takes."""

from __future__ import annotations

import pytest

from lipwise_ray.backends.gpu_part import gpu_part, memory_of, part_for_all

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "memory_gib", "need_gib", "part"),
    [(16, 141, 12, 0.25), (8, 141, 12, 0.5), (64, 141, 4, 0.25), (16, 24, 12, 0.5), (16, 16, 12, 1), (3, 80, 4, 1)],
)
def test_workers_share_a_gpu_as_cores_and_memory_bear(cores: int, memory_gib: int, need_gib: int, part: float) -> None:
    """The scarcer of the two decides, and four are enough."""
    assert gpu_part(cores, memory_gib * GIB, need_gib * GIB) == part


def test_an_unknown_gpu_has_one_worker() -> None:
    """Nobody shares memory of which nobody knows how much there is."""
    assert gpu_part(64, memory_of("made-up accelerator"), 4 * GIB) == 1
    assert memory_of("") == 0


@pytest.mark.parametrize(
    ("name", "gib"), [("H100", 80), ("H200", 141), ("A100-80G", 40), ("Tesla-V100-16GB", 16), ("L4", 24), ("l40s", 48)]
)
def test_a_gpu_is_known_by_its_name(name: str, gib: int) -> None:
    """Of several variants the smallest counts."""
    assert memory_of(name) == gib * GIB


def test_the_poorest_node_decides() -> None:
    """Workers of one run take one part; nodes without GPUs do not count."""
    assert part_for_all([(16, 1, "H100"), (8, 0, ""), (16, 2, "H100")], 4 * GIB) == 0.5
    assert part_for_all([(8, 0, "")], 4 * GIB) == 1
