"""Part of a GPU that a render worker takes, where it is left to itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

_GIB = 1 << 30
_CORES_A_WORKER = 4
"""A worker decodes, blends and encodes for its GPU: with fewer cores a second one would only take them from it."""

_MOST_WORKERS = 4
"""Workers a GPU; each keeps its own copy of the networks and a context of half a GiB."""

_MEMORY_GIB = {"T4": 16, "V100": 16, "P100": 16, "A10": 24, "A10G": 24, "L4": 24, "A30": 24, "RTX": 24, "A40": 48,
               "L40": 48, "L40S": 48, "A100": 40, "H100": 80, "H20": 96, "H200": 141, "GH200": 96, "B200": 180,
               "GB200": 186, "B300": 288}  # fmt: skip
"""Of the smallest variant that is sold under a name. Source: NVIDIA's data sheets."""

_WORD = re.compile(r"[A-Z]+\d*[A-Z]*")


def memory_of(accelerator: str) -> int:
    """Return the bytes of memory of a GPU that Ray names, as in ``H100`` or ``A100-80G``; 0 where it is not known."""
    words = _WORD.findall(accelerator.upper())
    return next((_MEMORY_GIB[word] * _GIB for word in words if word in _MEMORY_GIB), 0)


def gpu_part(cores_a_gpu: float, memory_bytes: int, need_bytes: int) -> float:
    """Return the part of a GPU that lets as many workers share it as cores and memory bear.

    Args:
        cores_a_gpu: Cores of its node, over the node's GPUs.
        memory_bytes: The GPU's memory; 0 where nobody knows, which is one worker.
        need_bytes: Memory that a worker needs for the job's networks and batches.
    """
    by_memory = memory_bytes // max(1, need_bytes)
    return 1 / max(1, min(int(cores_a_gpu) // _CORES_A_WORKER, by_memory, _MOST_WORKERS))


def part_for_all(nodes: Iterable[tuple[float, float, str]], need_bytes: int) -> float:
    """Return the part of a GPU that suits every node, 1 where none has GPUs.

    Args:
        nodes: Cores, GPUs and Ray's name of these of each node.
        need_bytes: Memory that a worker needs.
    """
    parts = [gpu_part(cores / gpus, memory_of(name), need_bytes) for cores, gpus, name in nodes if gpus]
    return max(parts, default=1.0)
