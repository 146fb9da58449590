"""What a worker tells of its memory."""

from __future__ import annotations

import mmap
import sys
from types import ModuleType

import pytest

from lipwise_ray.backends.own_memory import own_memory


def test_a_process_tells_its_memory_and_its_machines() -> None:
    """What is allocated and touched is in the figure, and a process without a GPU in use tells of none."""
    before = own_memory("w", "n")
    with mmap.mmap(-1, 32 << 20) as held:  # not of the heap, where what was freed earlier is taken first
        held.write(b"x" * len(held))
        after = own_memory("w", "n")
    assert after.rss_bytes - before.rss_bytes > (32 << 20) * 0.9
    assert after.rss_bytes < after.used_bytes <= after.total_bytes
    assert (after.worker, after.node, after.gpu_total_bytes) == ("w", "n", 0)


@pytest.mark.parametrize("has_begun", [False, True])
def test_memory_is_told_while_another_thread_imports_torch(has_begun: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is known by its name before it has its parts, and those before they have theirs."""
    torch = ModuleType("torch")
    if has_begun:
        monkeypatch.setattr(torch, "cuda", ModuleType("torch.cuda"), raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = own_memory("w", "n")
    assert (found.gpu_total_bytes, found.gpu_used_bytes) == (0, 0)
    assert found.rss_bytes > 0
