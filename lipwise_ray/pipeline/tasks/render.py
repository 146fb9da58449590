"""Rendering a chunk of a job's output."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.lipsync.planes_check import undrawn_planes
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.pipeline.dubbing.job_context import read_plan
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.render_chunk import render_chunk
from lipwise_ray.pipeline.dubbing.task_parts import RenderedSegment
from lipwise_ray.pipeline.flows.task_kinds import RENDER, RenderPayload, RenderResult
from lipwise_ray.pipeline.quality.kept_lips import KeptLips
from lipwise_ray.pipeline.quality.segment_lips import SegmentLips, lips_of_segment
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.judge import JUDGE, lip_crops_of
from lipwise_ray.roles.landmarks import LANDMARKS
from lipwise_ray.roles.lipsync import LIPSYNC, PASSTHROUGH
from lipwise_ray.roles.occluder import OCCLUDER
from lipwise_ray.roles.parser import PARSER
from lipwise_ray.roles.restorer import RESTORER
from lipwise_ray.roles.upscaler import UPSCALER
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.markers import commit, read_marker
from lipwise_ray.storage.scratch import scratch_file

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@handles(RENDER)
def render(context: TaskContext, payload: RenderPayload, hints: Hints) -> RenderResult:
    """Render a chunk and commit its segment, unless another attempt has."""
    job_id, chunk = payload.probed.job_id, payload.chunk
    existing = None if hints.is_surely_missing else read_marker(context.store, job_id, chunk)
    if existing is not None:
        return RenderResult(frames=existing.frames, reused=True)
    begin = time.perf_counter()
    job = context.open(payload)
    settings, request = job.spec.settings, context.models_for(payload, hints)
    is_filmed, models = payload.original or settings.lipsync.model == PASSTHROUGH, context.models
    chosen = undrawn_planes() if is_filmed else models.planes
    plan, recipe = read_plan(context.store, job_id), recipe_of(settings, job.video)
    with (
        scratch_file(context.scratch, "segment.mkv") as temporary,
        _lips_for_score(context, payload, plan, recipe, temporary) as lips,
    ):

        def on_check(frame: VideoFrame) -> None:
            context.on_block()
            if lips is not None:
                lips.see(frame)

        marker = render_chunk(
            job,
            job_id,
            plan,
            chunk,
            recipe=recipe,
            lipsync=None if is_filmed else models.needed(LIPSYNC, request),
            restorer=None if is_filmed else models.of(RESTORER, request),
            landmarker=None if is_filmed else models.of(LANDMARKS, request),
            parser=None if is_filmed else models.of(PARSER, request),
            occluder=None if is_filmed else models.of(OCCLUDER, request),
            upscaler=models.of(UPSCALER, request),
            planes=chosen.planes,
            lights=chosen.lights,
            compositor=chosen.compositor,
            engine=None if is_filmed else models.video_engine,
            encoding=None if is_filmed else models.hardware_encoding,
            target=temporary,
            attempt=uuid.uuid4().hex[:12],
            threads=context.threads,
            is_followed=_is_followed(settings, payload.row.device),
            begin=begin,
            on_frame=context.on_frame,
            on_check=on_check,
        )
        made = replace(marker, original=payload.original)
        context.store.put_file(made.segment, temporary)
        marker = commit(context.store, job_id, chunk, made)
        if lips is not None and marker.sha256 == made.sha256:
            lips.keep(marker.sha256)
    segment = RenderedSegment(chunk, marker.attempt, marker.sha256)
    return RenderResult(frames=marker.frames, seconds=marker.seconds, stages=marker.stages, segment=segment)


def _is_followed(settings: Settings, device: str) -> bool:
    """Tell whether a segment is decoded while it is written."""
    when = settings.engine.verify_segments
    return when == "beside" or (when == "auto" and device != "cpu")


@contextmanager
def _lips_for_score(
    context: TaskContext, payload: RenderPayload, plan: Plan, recipe: FrameRecipe, segment: Path
) -> Generator[SegmentLips | None]:
    """Yield the taker of the segment's frames that crops lips for its score; None where nothing is scored."""
    judge = payload.row.weights.one(JUDGE.name)
    if judge is None:
        yield None
        return
    kept = KeptLips(context.scratch, payload.probed.job_id, judge.sha256, payload.row.job.settings.score.stride)
    with lips_of_segment(plan, payload.chunk, segment, recipe, lip_crops_of(judge), kept) as lips:
        yield lips
