"""Facts that a driver's beats show of its engine."""

from __future__ import annotations

from collections.abc import Sequence

from lipwise_ray.scheduler.engine import Engine
from lipwise_ray.state.shapes import LeaseRecord, record_of


def beat_of(engine: Engine, busy: Sequence[LeaseRecord]) -> dict[str, object]:
    """Return the facts: tasks that are handed out, workers that load, and the memory of workers that told of it.

    Args:
        engine: The engine.
        busy: The tasks.
    """
    return {
        "running": [record_of(one) for one in busy],
        "loading": engine.loading,
        "memory": [record_of(one) for one in engine.memory],
    }
