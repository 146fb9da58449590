"""What a driver's beats show of its engine."""

from __future__ import annotations

from lipwise_ray.scheduler.beat import beat_of
from lipwise_ray.state.shapes import LeaseRecord, WorkerMemory, record_of, typed
from tests.support.scripted import ScriptedEngine


def test_a_beat_tells_tasks_and_memory() -> None:
    """Both are read back as they were told."""
    engine = ScriptedEngine(lambda task, attempt, slot: None)
    told = WorkerMemory(worker="w", node="n", host="h", rss_bytes=5, used_bytes=6, total_bytes=7)
    task = LeaseRecord(task="render:1", worker="w", attempt=1, node="n")
    engine.memory, engine.loading = [told], 2
    beat = beat_of(engine, [task])
    assert beat == {"running": [record_of(task)], "loading": 2, "memory": [record_of(told)]}
    assert (typed(record_of(told), WorkerMemory), typed(record_of(task), LeaseRecord)) == (told, task)
