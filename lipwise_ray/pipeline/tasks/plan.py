"""Planning a job, or finding the plan that an earlier attempt left."""

from __future__ import annotations

from collections.abc import Collection

import av

from lipwise_ray.errors import SegmentError
from lipwise_ray.pipeline.dubbing.identity import rendering_id
from lipwise_ray.pipeline.dubbing.job_context import JobContext, known_plan
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.render_chunk import chunk_ids
from lipwise_ray.pipeline.dubbing.shown_part import shown_chunks
from lipwise_ray.pipeline.flows.task_kinds import PLAN, PlanPayload, PlanResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.roles.lipsync import LIPSYNC, PASSTHROUGH, heard_by, taken_by
from lipwise_ray.roles.restorer import RESTORER
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state.finished_chunks import FinishedChunks
from lipwise_ray.state.markers import done_chunks


@handles(PLAN)
def plan(context: TaskContext, payload: PlanPayload, hints: Hints) -> PlanResult:
    """Plan which frames a job has, how they are cut into chunks, and which faces are dubbed."""
    job, probed = context.open(payload), payload.probed
    if JUDGE.name in payload.row.weights:
        context.planner.own_sound(job)  # the original lips are compared with it
    try:
        known = None if hints.is_surely_missing else known_plan(context.store, probed.job_id)
        found = known or context.planner.plan(job, probed)
    except SegmentError as error:
        return PlanResult(missing=str(error))
    done = done_chunks(context.store, probed.job_id, len(found.chunks))
    window = payload.spec.window
    if window is not None:
        shown = shown_chunks(window, found)
        others = {*range(len(found.chunks))} - {*shown}
        return PlanResult(chunks=tuple(found.chunks), done=tuple(sorted({*done} | others)))
    if payload.spec.kept != "nothing" and len(done) < len(found.chunks):
        done = sorted([*done, *_taken_over(context, payload, job, found, done)])
    return PlanResult(chunks=tuple(found.chunks), done=tuple(done))


def _taken_over(
    context: TaskContext, payload: PlanPayload, job: JobContext, plan: Plan, done: Collection[int]
) -> list[int]:
    """Take over the chunks that jobs rendered alike have finished, and return their numbers."""
    probed, spec, weights = payload.probed, payload.spec, payload.row.weights
    rendering = rendering_id(probed.identity, spec.output)
    finished = FinishedChunks(context.store, probed.video_id, rendering, av.__version__)
    ids = finished.ids(probed.job_id)
    if ids is None or len(ids) != len(plan.chunks):
        network = weights.one(LIPSYNC.name)
        feature = None if spec.settings.lipsync.model == PASSTHROUGH else heard_by(network)
        restores = RESTORER.name in weights
        ids = chunk_ids(job, plan, rendering, feature=feature, frames=taken_by(network), restores=restores)
        finished.keep(probed.job_id, ids)
    return finished.take_over(probed.job_id, ids, done)
