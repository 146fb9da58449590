"""The gate's verdicts, and the attempts at a row that does not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.pipeline.dubbing.task_parts import Repairs
from lipwise_ray.pipeline.flows.attempts import Attempt, AttemptsFlow
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    PLAN,
    PROBE,
    RENDER,
    SETTLE,
    SOUND,
    WEIGH,
    AssembleResult,
    PlanResult,
    ProbeResult,
    RenderResult,
    SettleResult,
    SoundResult,
    WeighResult,
)
from lipwise_ray.pipeline.quality.gate import rank, verdict
from lipwise_ray.pipeline.quality.sync_scores import scorer_of
from lipwise_ray.scheduler.task import AnyKind, Failure, Task, TaskResult
from lipwise_ray.settings.layers import fallbacks, resolve
from lipwise_ray.settings.model import GateSettings
from lipwise_ray.state.job_result import DubResult, GateVerdict, MeasuredAttempt, SyncScores, VideoMeasures
from lipwise_ray.state.shapes import record_of, shaped
from lipwise_ray.values import Span
from tests.support.tasks import probe_result, row_part

GATE = GateSettings(min_lse_c=5.0)
CRASH = Failure("crash", "crash", "it broke")


PUBLISHED = {"status": "done", "output": "p.mp4", "frames": 9, "chunks": 2, "bytes_total": 5, "sha256": "0" * 64}


def _result(lse_c: float | None, **more: Any) -> dict[str, Any]:
    after = None if lse_c is None else {"lse_c": lse_c, "lse_d": 7.0, "offset": more.pop("offset", 0)}
    return {
        "sync": {"after": after},
        "counts": {"frames": 100, "frames_without_face": 10},
        "flicker": {"dubbed": 2.5, "filmed": 2.0},
        "sharpness": {"sharpness": 0.8},
        "video_s": 4.0,
        "audio_s": 4.02,
        **more,
    }


def _measures(lse_c: float | None, **more: Any) -> VideoMeasures:
    return shaped(_result(lse_c, **more), VideoMeasures)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (
            GateSettings(min_lse_c=3.0, max_offset=2, max_no_face_share=0.1, max_flicker=0.5, max_length_error_s=0.02),
            None,
        ),
        (GateSettings(min_sharpness=0.8), None),
        (GateSettings(min_sharpness=0.85), "sharpness of the mouth is 0.8; it must be at least 0.85"),
        (GateSettings(min_lse_c=3.01), "LSE-C is 3; it must be at least 3.01"),
        (GateSettings(max_offset=1), "offset is 2; it must be at most 1"),
        (GateSettings(max_no_face_share=0.09), "without a face is 0.1; it must be at most 0.09"),
        (GateSettings(max_flicker=0.4), "flicker more than filmed is 0.5; it must be at most 0.4"),
        (GateSettings(max_length_error_s=0.01), "length error in s is 0.02; it must be at most 0.01"),
    ],
)
def test_bounds(gate: GateSettings, reason: str | None) -> None:
    """A video passes at its bounds; past one it is to be checked, and told why."""
    found = verdict(_measures(3.0, offset=-2), gate)
    assert found.verdict == ("check" if reason else "passed")
    assert reason is None or reason in found.reasons[0]


def test_what_was_not_measured_does_not_pass() -> None:
    """A bound on a score that is missing asks for a look."""
    assert verdict(_measures(None), GATE) == GateVerdict("check", ("LSE-C was not measured",))
    assert verdict(_measures(None), GateSettings(max_length_error_s=1.0)).verdict == "passed"
    assert verdict(_measures(None, sharpness={}), GateSettings(min_sharpness=0.5)).verdict == "check"


def test_another_network_that_gave_no_figure_breaks_no_bound() -> None:
    """A network that is not SyncNet and found no lips is no reason for a look, as little as its figures are."""
    told = scorer_of(Checkpoint("tiny_judge", "lipsync_expert", Path("tiny_judge"), "ab"))
    sync = SyncScores(judge=told.judge, judge_sha256=told.judge_sha256, note=told.note)
    assert verdict(replace(_measures(None), sync=sync), GATE) == GateVerdict("not checked")


def test_the_best_passes_or_scores() -> None:
    """One that passes comes first, then one that breaks fewer bounds, then the higher score; no score comes last."""
    records = [
        MeasuredAttempt(settings={}, job_id="job", verdict=verdict, lse_c=lse_c, reasons=reasons)
        for verdict, lse_c, reasons in (
            ("passed", 6.0, ()),
            ("check", 4.0, ("a",)),
            ("check", 3.0, ("a",)),
            ("check", None, ("a",)),
            ("check", 9.0, ("a", "b")),
        )
    ]
    assert sorted([*records[2:], *records[:2]], key=rank, reverse=True) == records


@pytest.mark.parametrize(
    ("retry", "word"),
    [
        ({"engine": {"workers": 2}}, "engine"),
        ({}, "nothing"),
        ({"restore": {"strenght": 0.5}}, 'gate.retry 1: unknown setting "restore.strenght"'),
        ({"lipsync": {"audio_offset_ms": "late"}}, "gate.retry 1"),
    ],
)
def test_impossible_fallbacks_are_mistakes(retry: dict[str, Any], word: str) -> None:
    """They show when the settings are read, by their number."""
    with pytest.raises(SettingsError, match=word):
        resolve([("job.toml", {"gate": {"retry": [retry]}})])


def test_a_fallback_changes_the_rows_own_settings() -> None:
    """What it does not name stays as the row has it."""
    retry = [{"composite": {"mask": "soft"}}]
    told_here = {"lipsync": {"audio_offset_ms": 40.0}, "gate": {"retry": retry, "min_lse_c": 1.0}}
    settings = resolve([("job.toml", told_here)])
    (told,) = fallbacks(settings)
    assert (told.composite.mask, told.lipsync.audio_offset_ms, told.gate.min_lse_c) == ("soft", 40.0, 1.0)
    assert settings.composite.mask == "face"


class _Row:
    """Plays a row's tasks: what each attempt is like when it is weighed, and what was published before."""

    def __init__(self, likes: list[Any], *, published: dict[str, Any] | None = None, gate: GateSettings = GATE) -> None:
        self.published = published or {}
        self.likes = likes
        attempts = [
            Attempt({} if n == 0 else {"lipsync": {"audio_offset_ms": float(n)}}, self._flow(n, gate))
            for n in range(len(likes))
        ]
        self.flow = AttemptsFlow("", gate, attempts)
        self.done: list[str] = []
        self.lost: list[int] = []
        """Chunks whose segments are gone when they are to be joined."""

    @staticmethod
    def _flow(number: int, gate: GateSettings) -> RowFlow:
        return RowFlow(1, 0, 0, "", row_part(attempt=number), gate, attempt=number, is_held=True)

    def play(self) -> DubResult:
        waiting = self.flow.start()
        while waiting:
            task = waiting.pop(0)
            number = int(task.payload.row.attempt)
            if self.flow.is_past(task):
                continue
            if (task.kind, self.likes[number]) in ((RENDER, "breaks"), (PROBE, "is not probed")):
                waiting += self.flow.on_failure(task, CRASH) or []
                continue
            self.done.append(f"{task.kind.name} {number}")
            waiting += self.flow.advance(task, self._answer(task, number))
        assert isinstance(self.flow.result, DubResult)
        return self.flow.result

    def _like(self, number: int) -> dict[str, Any]:
        like = self.likes[number]
        return like if isinstance(like, dict) else _result(like)

    def _answer(self, task: Task, number: int) -> TaskResult:
        job_id, payload = f"job{number}", task.payload
        if task.kind is PROBE:
            known = self.published.get(job_id)
            if known is None:
                return probe_result(job_id, 5)
            return ProbeResult(job_id=job_id, published=shaped(known, DubResult))
        if task.kind is ASSEMBLE and self.lost:
            return AssembleResult(repairs=Repairs(render=(self.lost.pop(), self.lost.pop())))

        def published(record: dict[str, Any]) -> DubResult:
            result = shaped(record, DubResult)
            return replace(result, attempts=payload.history.attempts) if payload.history.attempts else result

        answers: dict[AnyKind, Callable[[], TaskResult]] = {
            PLAN: lambda: PlanResult(chunks=(Span(0, 5), Span(5, 9))),
            WEIGH: lambda: WeighResult(measures=shaped(self._like(number), VideoMeasures)),
            ASSEMBLE: lambda: AssembleResult(
                published=published({**PUBLISHED, "job_id": job_id, **self._like(number)})
            ),
            SETTLE: lambda: SettleResult(published=published(self.published[payload.best_id])),
            RENDER: lambda: RenderResult(frames=5),
            SOUND: lambda: SoundResult(copied=True),
        }
        return answers[task.kind]()


def _verdict_of(result: DubResult) -> str:
    assert result.gate is not None
    return result.gate.verdict


def _measured(result: DubResult) -> list[MeasuredAttempt]:
    return [one for one in result.attempts or () if isinstance(one, MeasuredAttempt)]


def test_a_row_that_passes_is_rendered_once() -> None:
    """Its fallbacks are not tried."""
    row = _Row([6.0, 9.0])
    assert _verdict_of(row.play()) == "passed"
    assert [step for step in row.done if step.endswith("1")] == []


def test_the_first_that_passes_is_published() -> None:
    """Attempts after it are not made; one file is published, and all attempts are recorded."""
    row = _Row([3.0, 6.0, 9.0])
    result = row.play()
    assert (result.job_id, row.flow.job_id) == ("job1", "job1")
    assert [step for step in row.done if step.startswith("assemble")] == ["assemble 1"]
    assert not any(step.endswith("2") for step in row.done)
    assert [(one.job_id, one.lse_c, one.verdict) for one in _measured(result)] == [
        ("job0", 3.0, "check"),
        ("job1", 6.0, "passed"),
    ]
    assert row.flow.tally.chunks_rendered == 4


def test_where_none_passes_the_best_is_published() -> None:
    """Also where it was the first one."""
    row = _Row([4.0, 3.0, None])
    result = row.play()
    assert (result.job_id, _verdict_of(result)) == ("job0", "check")
    assert len(result.attempts or ()) == 3


def test_an_attempt_that_breaks_is_passed_over() -> None:
    """It is recorded with its reason; the row goes on, and ends with what there is."""
    row = _Row([4.0, "breaks", 4.5])
    result = row.play()
    assert result.job_id == "job2"
    assert record_of((result.attempts or ())[1]) == {
        "settings": {"lipsync": {"audio_offset_ms": 1.0}},
        "job_id": "job1",
        "verdict": "failed",
        "code": "crash",
        "message": "it broke",
    }


def test_the_first_attempt_breaks_the_row() -> None:
    """Fallbacks are for videos that can be looked at, not for rows that fail."""
    row = _Row(["breaks", 9.0])
    (probe,) = row.flow.start()
    (plan,) = row.flow.advance(probe, row._answer(probe, 0))
    render, *_ = row.flow.advance(plan, row._answer(plan, 0))
    assert row.flow.on_failure(render, CRASH) is None


def _published(number: int, lse_c: float, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    return {**PUBLISHED, "job_id": f"job{number}", **_result(lse_c), "attempts": attempts}


def test_a_gate_goes_by_no_other_networks_figures() -> None:
    """A lip-sync expert's certainty is no LSE-C: bounds on it are not checked, and other bounds are."""
    sync = {"judge_sha256": "ab", "after": {"sync_confidence": 0.1, "sync_distance": 0.7, "offset": 9}}
    measures = shaped({**_result(None), "sync": sync}, VideoMeasures)
    assert verdict(measures, GateSettings(min_lse_c=3.0, max_offset=1)) == GateVerdict("not checked")
    found = verdict(measures, GateSettings(min_lse_c=3.0, max_offset=1, max_no_face_share=0.0))
    assert found.verdict == "check"
    assert len(found.reasons) == 1
    assert verdict(_measures(5.0), GateSettings()).verdict == "not checked"


def _record(number: int, lse_c: float) -> dict[str, Any]:
    settings = {} if number == 0 else {"lipsync": {"audio_offset_ms": float(number)}}
    figures = {"lse_c": lse_c, "offset": 0, "no_face_share": 0.1, "flicker": 0.5, "length_error_s": 0.02}
    return {"settings": settings, "job_id": f"job{number}", **figures, "verdict": "check", "reasons": ["x"]}


def test_a_later_run_does_nothing_again() -> None:
    """All attempts are known: the row is done as it was, and nothing is rendered."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    row = _Row([3.0, 4.0], published={"job0": known, "job1": known})
    result = row.play()
    assert row.done == ["probe 0"]
    assert result.reused
    assert (row.flow.job_id, _verdict_of(result)) == ("job1", "check")


def test_a_later_run_tries_what_is_new() -> None:
    """A fallback that was added is tried alone, and published if it is better; else what is there stays."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    row = _Row([3.0, 4.0, 6.0], published={"job0": known, "job1": known})
    assert row.play().job_id == "job2"
    assert not any(step.startswith("render") and not step.endswith("2") for step in row.done)
    row = _Row([3.0, 4.0, 1.0], published={"job0": known, "job1": known})
    result = row.play()
    assert (result.job_id, row.done[-1]) == ("job1", "settle 2")
    assert len(result.attempts or ()) == 3


@pytest.mark.parametrize("last", ["is not probed", 2.0])
def test_the_best_is_recorded_whatever_became_of_the_last(last: str | float) -> None:
    """Also where the last attempt's inputs could not be looked at, or an earlier run had published it."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    before = {"job0": known, "job1": known, "job3": _published(3, 2.0, [])}
    row = _Row([3.0, 4.0, 1.0, last], published=before)
    result = row.play()
    assert (result.job_id, row.done[-1]) == ("job1", "settle 3")
    assert [one.verdict for one in result.attempts or ()][2:] == ["check", "failed" if last != 2.0 else "check"]


def test_a_looser_gate_makes_nothing_anew() -> None:
    """What is published is judged by today's bounds."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    row = _Row([3.0, 4.0], published={"job0": known, "job1": known}, gate=GateSettings(min_lse_c=3.5))
    assert _verdict_of(row.play()) == "passed"
    assert row.done == ["probe 0"]


def test_what_is_gone_is_not_published() -> None:
    """An attempt that lost once and would pass today is a record alone: what there is stays, and new ones are tried."""
    lost = {**_record(0, 3.0), "offset": 0}
    known = _published(1, 4.0, [lost, {**_record(1, 4.0), "offset": 9}])
    known["sync"]["after"]["offset"] = 9
    gate = GateSettings(min_lse_c=2.0, max_offset=1)
    row = _Row([3.0, 4.0], published={"job0": known, "job1": known}, gate=gate)
    assert row.play().job_id == "job1"
    assert row.done == ["probe 0"]
    row = _Row([3.0, 4.0, 2.5], published={"job0": known, "job1": known}, gate=gate)
    assert row.play().job_id == "job2"


def test_a_plain_result_of_an_earlier_run_is_the_first_attempt() -> None:
    """Fallbacks that came into the job file afterwards are tried with what did not pass."""
    plain = {**PUBLISHED, "job_id": "job0", **_result(3.0)}
    row = _Row([3.0, 6.0], published={"job0": plain})
    assert row.play().job_id == "job1"
    assert row.done[0] == "probe 0"
    assert "render 0" not in row.done


def test_lost_segments_are_rendered_again_once() -> None:
    """Two that are gone when the best is joined: both are made again, then it is joined; nothing is weighed anew."""
    row = _Row([4.0, 3.0])
    row.lost = [0, 1]
    result = row.play()
    assert row.done[-4:] == ["assemble 0", "render 0", "render 0", "assemble 0"]
    assert len(result.attempts or ()) == 2


def test_what_failed_is_tried_again_later() -> None:
    """A crash, or weights that were not there, say nothing of the next run; nothing else is done again."""
    failed = {**_record(1, 0.0), "verdict": "failed", "code": "crash", "message": "it broke"}
    known = _published(0, 3.0, [_record(0, 3.0), failed])
    row = _Row([3.0, 6.0], published={"job0": known})
    assert row.play().job_id == "job1"
    assert not any(step.startswith("render 0") for step in row.done)


def test_attempts_at_other_settings_do_not_count() -> None:
    """Who makes a fallback the row's own settings gets the others on top of them."""
    other = {**_record(0, 3.0), "job_id": "before"}
    known = _published(0, 4.0, [other, {**_record(1, 4.0), "job_id": "job0"}])
    row = _Row([4.0, 6.0], published={"job0": known})
    assert row.play().job_id == "job1"


def test_another_judges_score_replaces_nothing() -> None:
    """What is published without a score stays, unless an attempt passes."""
    plain = {**PUBLISHED, "job_id": "job0", **_result(None)}
    scored = {"sync": {"judge_sha256": "ab", "after": {"lse_c": 4.0, "lse_d": 7.0, "offset": 0}}}
    row = _Row([None, scored], published={"job0": plain})
    assert row.play().job_id == "job0"
    scored["sync"]["after"]["lse_c"] = 6.0
    row = _Row([None, scored], published={"job0": plain})
    assert row.play().job_id == "job1"


def test_a_fallback_that_touches_no_faces_mends_none_that_were_left() -> None:
    """Where they are all that is wrong, only what looks for faces otherwise is tried; where lips are bad, all is."""
    counts = {"frames": 100, "frames_with_face": 50, "frames_seen": 100, "frames_undubbed": 50}
    for lse_c, tried in ((6.0, {"0", "2"}), (3.0, {"0", "1", "2"})):
        row = _Row([{**_result(lse_c), "counts": counts}] * 3)
        row.flow.attempts[2] = replace(row.flow.attempts[2], settings={"detect": {"stride": 1}})
        assert _verdict_of(row.play()) == "check"
        assert {step.split()[1] for step in row.done if step.startswith("render")} == tried
