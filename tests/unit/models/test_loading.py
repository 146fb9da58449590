"""Batches of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.models.loading import ModelHost, batch_in

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free_gib", "item_gib", "most", "batch"),
    [(141, 1, 8, 8), (32, 1, 8, 8), (31, 1, 8, 4), (8, 1, 8, 2), (2, 1, 8, 1), (0, 1, 8, 1), (4, 1 / 64, 128, 64)],
)
def test_batches_go_by_the_memory_there_is(free_gib: float, item_gib: float, most: int, batch: int) -> None:
    """A fourth of it is for a batch, which is halved until it fits; one item is always tried."""
    assert batch_in(int(free_gib * GIB), int(item_gib * GIB), most) == batch


@pytest.mark.parametrize(
    ("device", "free_bytes", "batch"), [("cpu", 0, 2), ("cuda", None, 8), ("cuda", 80 * GIB, 8), ("cuda", 4 * GIB, 1)]
)
def test_a_gpu_is_asked_for_its_memory(device: str, free_bytes: int | None, batch: int) -> None:
    """A processor has one batch; a GPU that tells nothing has the usual one."""
    host = ModelHost(device, 1, lambda one: Path(one.path), lambda: False, free_bytes=lambda: free_bytes)
    assert host.batch(2, 8, GIB) == batch
