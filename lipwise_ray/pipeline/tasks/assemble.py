"""The end of a row: its attempt is measured, published, or found published already."""

from __future__ import annotations

from dataclasses import replace

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.delivery.assemble import measure_rendered, publish, record_published
from lipwise_ray.pipeline.delivery.published import read_result
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.task_parts import Repairs
from lipwise_ray.pipeline.flows.payloads import AssemblePayload, SettlePayload, WeighPayload
from lipwise_ray.pipeline.flows.results import AssembleResult, SettleResult, WeighResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout


def measure_attempt(context: TaskContext, payload: WeighPayload, hints: Hints) -> WeighResult:
    """Measure an attempt that is rendered, for the gate."""
    del hints  # nothing is kept of it
    found = measure_rendered(context.open(payload), payload, payload.unscored)
    return WeighResult(repairs=found) if isinstance(found, Repairs) else WeighResult(measures=found)


def assemble(context: TaskContext, payload: AssemblePayload, hints: Hints) -> AssembleResult:
    """Join a job's segments and audio to its file, and publish that."""
    job = context.open(payload)
    # An attempt before may have removed the prepared audio, because what is wrong may lie in it; copies elsewhere do
    # not know.
    sound_key = "" if hints.may_be_done else payload.sound
    found = publish(
        job,
        context.scratch,
        payload,
        recipe_of(job.spec.settings, job.video),
        unscored=payload.unscored,
        language=payload.language,
        sound_key=sound_key,
        history=payload.history,
    )
    return AssembleResult(repairs=found) if isinstance(found, Repairs) else AssembleResult(published=found)


def finalise(context: TaskContext, payload: SettlePayload, hints: Hints) -> SettleResult:
    """Record how a row ended whose best attempt is published already.

    Raises:
        StorageError: The record of that attempt is gone.
    """
    del hints  # the latest record is the one that counts
    best_id, history = payload.best_id, payload.history
    known = (read_result(context.store, job_id) for job_id in (best_id, str(history.first_id)))
    result = next((one for one in known if one and one.job_id == best_id), None)
    if result is None:
        key = layout.result(best_id)
        raise StorageError("result_gone", key, "must be whole in the state", "nothing", "Run the same command again")
    result = record_published(context.store, history, result, keep=payload.spec.settings.engine.keep_segments)
    return SettleResult(published=replace(result, reused=True))
