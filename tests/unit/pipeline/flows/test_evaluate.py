"""The tasks of a video that is evaluated, in their order, and how often they are made again."""

from __future__ import annotations

from typing import Any

import pytest

from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed, ReferencePart
from lipwise_ray.pipeline.flows.evaluate import EvaluationFlow
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludeResult,
    ExamineResult,
    MeasureResult,
    ToMeasure,
)
from lipwise_ray.pipeline.flows.row_tasks import MOST_REPAIRS
from lipwise_ray.pipeline.flows.task_kinds import (
    RenderResult,
    ScanResult,
)
from lipwise_ray.state.job_result import EvaluationResult, Fidelity, RowFailure
from tests.support.tasks import row_part

PIECES = (NumberedSpan(0, 0, 10), NumberedSpan(1, 10, 15))
FIGURES = EvaluationResult(kind="evaluation", job_id="j", output="elsewhere.mp4", frames=15, chunks=2)


def _flow(**more: Any) -> EvaluationFlow:
    return EvaluationFlow(4, 0, 0, "", row_part("r4"), **more)


def _examined(scan: tuple[NumberedSpan, ...], measure: tuple[NumberedSpan, ...]) -> ExamineResult:
    probed = Probed("j", {}, "v", "d")
    to_do = ToMeasure(probed=probed, frames=15, chunks=2, lag_s=0.0, scan=scan, measure=measure)
    return ExamineResult(job_id="j", to_do=to_do)


def test_faces_are_found_before_anything_is_measured() -> None:
    """Measuring waits for the last scan, the figures for the last measurement; the row counts its frames meanwhile."""
    flow = _flow()
    (first,) = flow.start()
    assert (first.id, flow.progress.stage) == ("examine:4/0", "probing")
    scans = flow.advance(first, _examined(PIECES, PIECES))
    assert [task.id for task in scans] == ["scan:v/d/0", "scan:v/d/1"]
    assert flow.progress.todo == 15
    assert flow.advance(scans[1], ScanResult()) == []
    measures = flow.advance(scans[0], ScanResult())
    assert [task.id for task in measures] == ["measure:j/0", "measure:j/1"]
    assert flow.advance(measures[0], MeasureResult()) == []
    assert (flow.progress.stage, flow.progress.done) == ("scoring", 10)
    (last,) = flow.advance(measures[1], MeasureResult())
    assert flow.advance(last, ConcludeResult(evaluated=FIGURES)) == []
    assert flow.result is not None
    assert (flow.result.status, flow.tally.chunks, flow.tally.frames_rendered) == ("done", 2, 15)
    assert flow.progress.stage == "done"


def test_only_what_is_missing_is_measured() -> None:
    """A run that goes on takes what is there, and says how much it did not do again."""
    flow = _flow()
    (first,) = flow.start()
    (measure,) = flow.advance(first, _examined((), PIECES[1:]))
    assert (measure.id, flow.tally.chunks_reused) == ("measure:j/1", 1)
    flow = _flow()
    (first,) = flow.start()
    (last,) = flow.advance(first, _examined((), ()))
    assert last.id == "conclude:j/0"


def test_figures_that_are_known_end_the_row_under_its_own_names() -> None:
    """Two rows of one file share its figures, not its name, its language or its reference."""
    flow = _flow(comparison=ReferencePart("/refs/mine.mp4"))
    (first,) = flow.start()
    known = EvaluationResult(
        kind="evaluation",
        job_id="j",
        output="other.mp4",
        frames=15,
        chunks=2,
        language="fr",
        fidelity=Fidelity(reference="/refs/theirs.mp4", psnr=40.0),
    )
    assert flow.advance(first, ExamineResult(job_id="j", known=known)) == []
    result = flow.result
    assert isinstance(result, EvaluationResult)
    assert (result.output, result.language, result.reused) == ("v.mp4", None, True)
    assert result.fidelity is not None
    assert (result.fidelity.reference, result.fidelity.psnr) == ("/refs/mine.mp4", 40.0)
    assert flow.tally.chunks_reused == flow.tally.chunks == 2


def test_records_that_vanish_again_and_again_fail_the_row() -> None:
    """They are made again a few times; a state that keeps losing them is not worked on for ever."""
    flow = _flow()
    tasks = flow.start()
    for number in range(MOST_REPAIRS + 1):
        assert tasks[0].id == f"examine:4/{number}"
        (last,) = flow.advance(tasks[0], _examined((), ()))
        tasks = flow.advance(last, ConcludeResult(missing="chunk 1 is gone"))
    assert tasks == []
    assert isinstance(flow.result, RowFailure)
    assert (flow.result.code, flow.result.message) == ("records_damaged", "chunk 1 is gone")


def test_scans_that_are_gone_are_found_again_from_the_start() -> None:
    """What a measurement misses is not measured around: the video is looked at anew."""
    flow = _flow()
    (first,) = flow.start()
    one, other = flow.advance(first, _examined((), PIECES))
    assert flow.advance(one, MeasureResult(missing="scan")) == []
    assert flow.is_past(one)
    assert not flow.is_past(other)
    (again,) = flow.advance(other, MeasureResult())
    assert again.id == "examine:4/1"


def test_the_result_of_another_task_is_a_slip() -> None:
    """It never passes for the one that was asked for."""
    flow = _flow()
    (first,) = flow.start()
    with pytest.raises(TypeError, match="gave RenderResult instead of ExamineResult"):
        flow.advance(first, RenderResult(frames=1))
