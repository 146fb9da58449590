"""Making a worker, in the process that it is to work in: a driver whose workers are elsewhere loads none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipwise_ray.backends.worker_config import WorkerConfig
    from lipwise_ray.pipeline.tasks.worker import Worker


def make_worker(config: WorkerConfig) -> Worker:
    """Return a worker.

    Args:
        config: Its configuration.
    """
    from lipwise_ray.pipeline.tasks.worker import Worker

    return Worker(config)
