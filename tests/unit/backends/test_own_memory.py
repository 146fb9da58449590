"""What a worker tells of its memory."""

from __future__ import annotations

import numpy as np

from lipwise_ray.backends.own_memory import own_memory


def test_a_process_tells_its_memory_and_its_machines() -> None:
    """What is allocated and touched is in the figure, and a process without a GPU in use tells of none."""
    before = own_memory("w", "n")
    held = np.ones(32 << 20, np.uint8)
    after = own_memory("w", "n")
    assert after.rss_bytes - before.rss_bytes > held.nbytes * 0.9
    assert after.rss_bytes < after.used_bytes <= after.total_bytes
    assert (after.worker, after.node, after.gpu_total_bytes) == ("w", "n", 0)
