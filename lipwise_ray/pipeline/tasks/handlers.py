"""Who does the tasks of which kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    CHECK,
    CONCLUDE,
    EXAMINE,
    LISTEN,
    MEASURE,
    PLAN,
    PROBE,
    RECOGNISE,
    RENDER,
    SCAN,
    SCORE,
    SETTLE,
    SOUND,
    TRANSCRIBE,
    WEIGH,
)
from lipwise_ray.pipeline.tasks import analyse, evaluate, probe
from lipwise_ray.pipeline.tasks.assemble import assemble, finalise, measure_attempt
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.plan import plan
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.pipeline.tasks.score import score
from lipwise_ray.pipeline.tasks.sound import prepare_audio
from lipwise_ray.pipeline.tasks.transcribe import transcribe
from lipwise_ray.scheduler.task import AnyKind, Hints, P, R, TaskKind, TaskResult

Handler = Callable[[TaskContext, Any, Hints], TaskResult]


def _by(handler: Callable[[TaskContext, P, Hints], R], kind: TaskKind[P, R]) -> tuple[AnyKind, Handler]:
    """Return a kind and who does it; a type checker sees to it that they speak of the same."""
    return kind, handler


HANDLERS: dict[AnyKind, Handler] = dict(
    (
        _by(probe.probe, PROBE),
        _by(probe.check, CHECK),
        _by(analyse.find_faces, SCAN),
        _by(analyse.compare_voices, LISTEN),
        _by(analyse.embed_faces, RECOGNISE),
        _by(plan, PLAN),
        _by(prepare_audio, SOUND),
        _by(transcribe, TRANSCRIBE),
        _by(render, RENDER),
        _by(score, SCORE),
        _by(measure_attempt, WEIGH),
        _by(assemble, ASSEMBLE),
        _by(finalise, SETTLE),
        _by(evaluate.probe, EXAMINE),
        _by(evaluate.measure, MEASURE),
        _by(evaluate.aggregate, CONCLUDE),
    )
)
