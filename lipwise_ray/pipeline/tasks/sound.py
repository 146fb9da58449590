"""Preparing a job's audio while its chunks are rendered."""

from __future__ import annotations

from lipwise_ray.pipeline.delivery.delivered_audio import prepare_sounds
from lipwise_ray.pipeline.dubbing.job_context import read_plan
from lipwise_ray.pipeline.flows.task_kinds import SOUND, SoundPayload, SoundResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.scheduler.task import Hints


@handles(SOUND)
def prepare_audio(context: TaskContext, payload: SoundPayload, hints: Hints) -> SoundResult:
    """Encode a job's audio, or find out that it can be copied."""
    probed = payload.probed
    plan = read_plan(context.store, probed.job_id)
    delivered, *_ = prepare_sounds(
        context.open(payload),
        context.scratch,
        probed,
        plan,
        is_missing=hints.is_surely_missing,
        on_block=context.on_block,
    )
    return SoundResult(copied=delivered.plan.copy, sound=delivered.key)
