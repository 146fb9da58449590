"""The end of a row: its attempt is measured, published, or found published already."""

from __future__ import annotations

from dataclasses import replace

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.delivery.assemble import measure_rendered, publish, record_published
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.task_parts import Repairs
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    SETTLE,
    WEIGH,
    AssemblePayload,
    AssembleResult,
    SettlePayload,
    SettleResult,
    WeighPayload,
    WeighResult,
)
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.shapes import amended, typed
from lipwise_ray.state.store import read_json


@handles(WEIGH)
def measure_attempt(context: TaskContext, payload: WeighPayload, hints: Hints) -> WeighResult:
    """Measure an attempt that is rendered, for the gate."""
    del hints  # nothing is kept of it
    found = measure_rendered(context.open(payload), payload, payload.unscored)
    return WeighResult(repairs=found) if isinstance(found, Repairs) else WeighResult(measures=found)


@handles(ASSEMBLE)
def assemble(context: TaskContext, payload: AssemblePayload, hints: Hints) -> AssembleResult:
    """Join a job's segments and audio to its file, and publish that."""
    job = context.open(payload)
    # An attempt before may have removed the prepared audio, because what is wrong may lie in it; copies elsewhere do
    # not know.
    sound_key = "" if hints.may_be_done else payload.sound
    published = publish(
        job,
        context.scratch,
        payload,
        recipe_of(job.spec.settings, job.video),
        unscored=payload.unscored,
        language=payload.language,
        sound_key=sound_key,
        history=payload.history,
    )
    return AssembleResult(repairs=published) if isinstance(published, Repairs) else AssembleResult(published=published)


@handles(SETTLE)
def finalise(context: TaskContext, payload: SettlePayload, hints: Hints) -> SettleResult:
    """Record how a row ended whose best attempt is published already.

    Raises:
        StorageError: The record of that attempt is gone.
    """
    del hints  # the latest record is the one that counts
    best_id, history = payload.best_id, payload.history
    for job_id in dict.fromkeys((best_id, history.first_id or best_id)):
        record = read_json(context.store, layout.result(job_id))
        result = typed(record, DubResult)
        if record is not None and result is not None and result.job_id == best_id:
            result = replace(result, attempts=history.attempts or result.attempts)
            record = amended(record, result, "attempts")
            record_published(context.store, result, record, history.first_id, payload.spec.kept)
            return SettleResult(published=replace(result, reused=True))
    key = layout.result(best_id)
    raise StorageError(
        "result_gone", key, got="the record of what was published is gone", do="Run the same command again"
    )
