"""What a row's later tasks are told of its earlier ones."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.task_parts import RenderedSegment
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import (
    PlanResult,
    RenderResult,
    ScorePayload,
    ScoreResult,
    SoundResult,
)
from lipwise_ray.scheduler.task import Task
from lipwise_ray.values import Span
from tests.support.tasks import probe_result, row_part

JUDGED = Checkpoints({"judge": Checkpoint("tiny_judge", "lipsync_expert", Path("/j"), "c" * 64)})


def _segment(chunk: int, attempt: str = "first") -> RenderedSegment:
    return RenderedSegment(chunk, attempt, "a" * 64)


def _told(tasks: list[Task]) -> list[tuple[RenderedSegment, ...]]:
    return [task.payload.segments for task in tasks if isinstance(task.payload, ScorePayload)]


def test_scoring_is_told_the_segments_that_this_run_made() -> None:
    """Of the chunk and the next one; not those of an earlier run, and after a repair the new ones."""
    flow = RowFlow(0, 0, 0, "", row_part(weights=JUDGED))
    (probe,) = flow.start()
    (plan,) = flow.advance(probe, probe_result("j", 40))
    chunks = tuple(Span(start, start + 10) for start in range(0, 40, 10))
    *renders, sound = flow.advance(plan, PlanResult(chunks=chunks, done=(1,)))
    assert flow.advance(sound, SoundResult(copied=True)) == []
    for render, chunk in zip(renders[:-1], (0, 2), strict=True):
        assert flow.advance(render, RenderResult(frames=10, segment=_segment(chunk))) == []
    scores = flow.advance(renders[-1], RenderResult(frames=10, segment=_segment(3)))
    assert _told(scores) == [(_segment(0),), (_segment(2),), (_segment(2), _segment(3)), (_segment(3),)]
    for score in scores[:-1]:
        assert flow.advance(score, ScoreResult()) == []
    (again,) = flow.advance(scores[-1], ScoreResult(missing=(3,)))
    scores = flow.advance(again, RenderResult(frames=10, segment=_segment(3, "second")))
    assert _told(scores)[2:] == [(_segment(2), _segment(3, "second")), (_segment(3, "second"),)]
