"""Models that stay loaded between tasks, as far as memory allows: the least recently used ones go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil

from lipwise_ray.cpu_quota import usable_cores

_Model = TypeVar("_Model")
ModelKey = tuple[object, ...]
"""A model's role, then what tells it from others of that role, at last its batch; None where it has none."""

_KEPT_PART = 4
_FEWEST_BYTES = 1 << 30
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class _Kept:
    model: object
    size_bytes: int


class ModelPool:
    """Makes models on first use and keeps the latest used ones.

    A model that the present task has asked for is never given up, so a task may take more than there is room for.

    Args:
        most_bytes: Bound on the total size of the kept models' checkpoints.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[ModelKey, _Kept] = OrderedDict()
        self._held: set[ModelKey] = set()

    def __contains__(self, key: ModelKey) -> bool:
        return key in self._kept

    @property
    def size_bytes(self) -> int:
        """Total size of the kept models' checkpoints."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def begin_task(self) -> None:
        """Hold nothing any more: another task begins."""
        self._held.clear()

    def get(self, key: ModelKey, make: Callable[[], _Model], size_bytes: Callable[[], int]) -> _Model:
        """Return a model, and hold it until the next task begins.

        Args:
            key: Its role and what it is.
            make: Makes it, once others have left room.
            size_bytes: Tells the size of its checkpoints.
        """
        self._held.add(key)
        if key not in self._kept:
            size = size_bytes()
            self._make_room(size)
            self._kept[key] = _Kept(make(), size)
        self._kept.move_to_end(key)
        return cast("_Model", self._kept[key].model)

    def give_up_other_batches(self, key: ModelKey) -> None:
        """Give up models that differ from a wanted one in their batches alone: memory ran short with theirs."""
        for other in [other for other in self._kept if other[:-1] == key[:-1] and other != key]:
            self._drop(other)

    def give_up_unheld(self) -> None:
        """Give up every model that the present task has not asked for."""
        for key in [key for key in self._kept if key not in self._held]:
            self._drop(key)

    def _make_room(self, size_bytes: int) -> None:
        for key in [key for key in self._kept if key not in self._held]:
            if self.size_bytes + size_bytes <= self._most_bytes:
                return
            self._drop(key)

    def _drop(self, key: ModelKey) -> None:
        del self._kept[key]
        self._held.discard(key)


def room_for_models(device: str, threads: int, models_gb: float = 0.0, gpu_part: float = 1.0) -> int:
    """Return the bytes that the kept models' checkpoints may have.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: The worker's, 0 for all cores.
        models_gb: Setting in GiB; 0 is a quarter of the GPU's memory, or of the worker's share of the host's, as
            batches need more than weights.
        gpu_part: The part of a GPU that the worker may take.
    """
    if models_gb:
        return int(models_gb * (1 << 30))
    if device.startswith("cuda"):
        import torch

        total: Any = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
        return max(_FEWEST_BYTES, int(total * gpu_part) // _KEPT_PART)
    workers = max(1, usable_cores() // threads) if threads else 1
    return max(_FEWEST_BYTES, _host_bytes() // workers // _KEPT_PART)


def _host_bytes() -> int:
    """Return the memory of this machine, or of this container where that has less."""
    total = psutil.virtual_memory().total
    try:
        limit = _CONTAINER_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def file_bytes(path: Path) -> int:
    """Return the size of a checkpoint: a file, or a folder of them."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
