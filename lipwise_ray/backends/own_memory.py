"""Memory of a process, its machine and its GPU, as the process itself sees them."""

from __future__ import annotations

import platform
import sys

import psutil

from lipwise_ray.state.shapes import WorkerMemory


def own_memory(worker: str, node: str) -> WorkerMemory:
    """Return the memory of this process, which is a worker's.

    A GPU counts once this process computes on it: to ask for another would take memory of it.

    Args:
        worker: The engine's name of the worker.
        node: Its node.
    """
    machine = psutil.virtual_memory()
    gpu_free, gpu_total = _gpu_bytes()
    return WorkerMemory(
        worker=worker,
        node=node,
        host=platform.node(),
        rss_bytes=psutil.Process().memory_info().rss,
        used_bytes=machine.total - machine.available,
        total_bytes=machine.total,
        gpu_used_bytes=gpu_total - gpu_free,
        gpu_total_bytes=gpu_total,
    )


def _gpu_bytes() -> tuple[int, int]:
    """Return the free and all bytes of the GPU in use; zeros without one."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return 0, 0
        free, total = cuda.mem_get_info()
    except AttributeError:  # another thread is at importing it, so that nothing computes yet
        return 0, 0
    except RuntimeError:  # the device is lost, which its task tells: this must not end the worker in its place
        return 0, 0
    return int(free), int(total)
