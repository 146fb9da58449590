"""Number of render workers on a single machine."""

from __future__ import annotations

from lipwise_ray.settings.model import EngineSettings

_ROUNDING = 1e-6


def local_workers(settings: EngineSettings, cores: int, gpus: int) -> int:
    """Return the number of render workers that the settings ask for, or that the machine has room for.

    Args:
        settings: What is asked for.
        cores: Cores that this process may use.
        gpus: GPUs that render workers may take, 0 for none.
    """
    if settings.workers:
        return settings.workers
    return max(1, int(gpus / settings.gpus_per_worker + _ROUNDING) if gpus else cores // 2)
