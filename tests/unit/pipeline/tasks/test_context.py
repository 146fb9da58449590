"""What a task has at hand in its worker."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.pipeline.flows.task_kinds import PlanPayload
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.scheduler.task import Hints
from tests.support.task_context import FRAMES, Bench


def test_a_job_is_opened_without_looking_at_its_video_again(tmp_path: Path) -> None:
    """The frames that the probe found are taken from the state, whatever has become of the packets since."""
    bench = Bench(tmp_path)
    probed = bench.probed()
    job = bench.context.open(PlanPayload(bench.row, probed))
    assert (len(job.video.index), job.video.id, job.salvage) == (FRAMES, probed.video_id, False)
    salvaged = Bench(tmp_path, source={"on_error": "salvage"})
    assert salvaged.context.open_video(PlanPayload(salvaged.row, probed), probed.video_id).salvage


def test_models_are_asked_for_with_what_the_task_may_take(tmp_path: Path) -> None:
    """Batches are halved as often as memory ran out, and never below one."""
    bench = Bench(tmp_path)
    context: TaskContext = bench.context
    payload = PlanPayload(bench.row, bench.probed())
    batches = [context.models_for(payload, Hints(batch_halvings=halvings)).batch(16) for halvings in (0, 2, 9)]
    assert batches == [16, 4, 1]
