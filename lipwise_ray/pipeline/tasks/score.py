"""Scoring how well the lips of a rendered chunk go with its audio."""

from __future__ import annotations

from lipwise_ray.pipeline.dubbing.job_context import read_plan
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.flows.task_kinds import SCORE, ScorePayload, ScoreResult
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.quality.filmed_lips import FilmedLips
from lipwise_ray.pipeline.quality.kept_lips import KeptLips
from lipwise_ray.pipeline.quality.score_chunk import score_chunk, stills
from lipwise_ray.pipeline.quality.sync_scores import Distances, score_records_id, scorer_runtime
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.markers import read_marker
from lipwise_ray.state.store import load_file


@handles(SCORE)
def score(context: TaskContext, payload: ScorePayload, hints: Hints) -> ScoreResult:
    """Measure a chunk's distances, unless those of its present segments are there."""
    store, job_id, chunk = context.store, payload.probed.job_id, payload.chunk
    judge_sha256, runtime = payload.row.weights.needed(JUDGE.name).sha256, scorer_runtime(payload.row, payload.choice)
    key = layout.score(job_id, score_records_id(payload.row, payload.choice), chunk)
    existing = None if hints.is_surely_missing else load_file(store, key, Distances.load)
    if existing is not None and existing.is_of({n: read_marker(store, job_id, n) for n in existing.segments}):
        return ScoreResult()
    job = context.open(payload)
    plan, recipe = read_plan(store, job_id), recipe_of(job.spec.settings, job.video)
    threads = context.threads.decoder
    scorer = context.models.needed(JUDGE, context.models_for(payload, hints))
    kept_lips = KeptLips(context.scratch, job_id, judge_sha256, job.spec.settings.score.stride)
    distances = score_chunk(
        job,
        plan,
        chunk,
        recipe,
        scorer,
        job_id=job_id,
        rendered=payload.segments,
        kept_lips=kept_lips,
        filmed_lips=FilmedLips(store, context.scratch, judge_sha256, payload.row.device, runtime),
        threads=threads,
        on_frame=context.on_frame,
    )
    if not isinstance(distances, Distances):
        return ScoreResult(missing=tuple(distances))
    images = stills(
        job, plan, chunk, recipe, job_id=job_id, threads=threads, kept_lips=kept_lips, rendered=payload.segments
    )
    for name, image in zip(("before", "after"), images or (), strict=bool(images)):
        store.write(layout.still(job_id, name), image)
    records.keep_record(store, context.scratch, key, distances.save)
    kept_lips.remove(chunk)
    return ScoreResult()
