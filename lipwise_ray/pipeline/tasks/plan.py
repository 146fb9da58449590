"""Planning a job, or finding the plan that an earlier attempt left."""

from __future__ import annotations

from lipwise_ray.errors import SegmentError
from lipwise_ray.pipeline.dubbing.job_context import known_plan
from lipwise_ray.pipeline.flows.task_kinds import PLAN, PlanPayload, PlanResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.scheduler.task import Hints
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
    return PlanResult(chunks=tuple(found.chunks), done=tuple(done))
