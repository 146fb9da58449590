"""Number of render workers on a single machine."""

from __future__ import annotations

from lipwise_ray.backends.gpu_part import gpu_part
from lipwise_ray.settings.model import EngineSettings

_ROUNDING = 1e-6
_PLENTY = 1 << 40


def local_workers(settings: EngineSettings, cores: int, gpus: int) -> int:
    """Return the number of render workers that the settings ask for, or that the machine has room for.

    Args:
        settings: What is asked for.
        cores: Cores that this process may use.
        gpus: GPUs that render workers may take, 0 for none.
    """
    if settings.workers:
        return settings.workers
    if not gpus:
        return max(1, cores // 2)
    part = settings.gpus_per_worker
    if part == "auto":  # the most that it may be: what memory there is, is seen once Ray runs
        part = gpu_part(cores / gpus, _PLENTY, 1)
    return max(1, int(gpus / part + _ROUNDING))
