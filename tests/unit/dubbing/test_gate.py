"""The gate's verdicts, and the attempts at a row that does not pass."""

from __future__ import annotations

from typing import Any

import pytest

from lipwise_ray.dubbing.attempts import Attempt, AttemptsFlow
from lipwise_ray.dubbing.flow import RowFlow
from lipwise_ray.dubbing.gate import rank, verdict
from lipwise_ray.dubbing.scores import scorer_record
from lipwise_ray.dubbing.tasks import Task
from lipwise_ray.errors import SettingsError
from lipwise_ray.layers import fallbacks, resolve
from lipwise_ray.settings import Gate

GATE = Gate(min_lse_c=5.0)


def _result(lse_c: float | None, **more: Any) -> dict[str, Any]:
    after = None if lse_c is None else {"lse_c": lse_c, "lse_d": 7.0, "offset": more.pop("offset", 0)}
    return {
        "sync": {"after": after},
        "counts": {"frames": 100, "frames_without_face": 10},
        "flicker": {"dubbed": 2.5, "filmed": 2.0},
        "video_s": 4.0,
        "audio_s": 4.02,
        **more,
    }


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate(min_lse_c=3.0, max_offset=2, max_no_face_share=0.1, max_flicker=0.5, max_length_error_s=0.02), None),
        (Gate(min_lse_c=3.01), "LSE-C must be at least 3.01, got 3"),
        (Gate(max_offset=1), "offset must be at most 1, got 2"),
        (Gate(max_no_face_share=0.09), "without a face must be at most 0.09, got 0.1"),
        (Gate(max_flicker=0.4), "flicker more than filmed must be at most 0.4, got 0.5"),
        (Gate(max_length_error_s=0.01), "length error, s must be at most 0.01, got 0.02"),
    ],
)
def test_bounds(gate: Gate, reason: str | None) -> None:
    """A video passes at its bounds; past one it is to be checked, and told why."""
    found = verdict(_result(3.0, offset=-2), gate)
    assert found["verdict"] == ("check" if reason else "passed")
    assert reason is None or reason in found["reasons"][0]


def test_what_was_not_measured_does_not_pass() -> None:
    """A bound on a score that is missing asks for a look."""
    assert verdict(_result(None), GATE) == {"verdict": "check", "reasons": ["LSE-C was not measured"]}
    assert verdict(_result(None), Gate(max_length_error_s=1.0))["verdict"] == "passed"


def test_another_network_that_gave_no_figure_breaks_no_bound() -> None:
    """A network that is not SyncNet and found no lips is no reason for a look, as little as its figures are."""
    scorer = {"name": "tiny_judge", "sha256": "ab", "network": "lipsync_expert"}
    result = {**_result(None), "sync": {**scorer_record(scorer), "after": None}}
    assert verdict(result, GATE) == {"verdict": "not checked", "reasons": []}


def test_the_best_passes_or_scores() -> None:
    """One that passes comes first, then one that breaks fewer bounds, then the higher score; no score comes last."""
    records = [
        {"verdict": "passed", "lse_c": 6.0, "reasons": []},
        {"verdict": "check", "lse_c": 4.0, "reasons": ["a"]},
        {"verdict": "check", "lse_c": 3.0, "reasons": ["a"]},
        {"verdict": "check", "lse_c": None, "reasons": ["a"]},
        {"verdict": "check", "lse_c": 9.0, "reasons": ["a", "b"]},
    ]
    assert sorted([*records[2:], *records[:2]], key=rank, reverse=True) == records


@pytest.mark.parametrize(
    ("retry", "word"),
    [
        ({"engine": {"workers": 2}}, "engine"),
        ({}, "nothing"),
        ({"restore": {"strenght": 0.5}}, "gate.retry 1: unknown setting restore.strenght"),
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

    def __init__(self, likes: list[Any], *, published: dict[str, Any] | None = None, gate: Gate = GATE) -> None:
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
    def _flow(number: int, gate: Gate) -> RowFlow:
        base = {"weights": {}, "job": {"language": None, "tags": []}, "attempt": number}
        return RowFlow(1, 0, 0, "", base, gate, attempt=number, is_held=True)

    def play(self) -> dict[str, Any]:
        waiting = self.flow.start()
        while waiting:
            task = waiting.pop(0)
            number = task.payload["attempt"]
            if self.flow.is_past(task):
                continue
            if task.kind == "render" and self.likes[number] == "breaks":
                waiting += self.flow.after_loss(task, "crash", "it broke") or []
                continue
            self.done.append(f"{task.kind} {number}")
            waiting += self.flow.advance(task, self._answer(task, number))
        assert self.flow.result is not None
        return self.flow.result

    def _like(self, number: int) -> dict[str, Any]:
        like = self.likes[number]
        return like if isinstance(like, dict) else _result(like)

    def _answer(self, task: Task, number: int) -> dict[str, Any]:
        job_id = f"job{number}"
        if task.kind == "probe":
            names = ("identity", "video_id", "detector_id", "voices_id", "looks_id", "portraits")
            facts: dict[str, Any] = dict.fromkeys(names, "x") | {"listen": [], "recognise": [], "scan": []}
            return {"job_id": job_id, "published": self.published.get(job_id), "frames": 5, "to_look_at": {}, **facts}
        if task.kind == "assemble" and self.lost:
            return {"missing": [self.lost.pop(), self.lost.pop()]}
        told = {"told": task.payload.get("attempts")}
        answers: dict[str, Any] = {
            "plan": lambda: {"chunks": [[0, 5], [5, 9]], "done": []},
            "weigh": lambda: self._like(number),
            "assemble": lambda: {"status": "done", "job_id": job_id, **self._like(number), **told},
            "settle": lambda: {**self.published[task.payload["best_id"]], **told, "reused": True},
        }
        return dict(answers.get(task.kind, lambda: {"reused": False})())


def test_a_row_that_passes_is_rendered_once() -> None:
    """Its fallbacks are not tried."""
    row = _Row([6.0, 9.0])
    assert row.play()["gate"]["verdict"] == "passed"
    assert [step for step in row.done if step.endswith("1")] == []


def test_the_first_that_passes_is_published() -> None:
    """Attempts after it are not made; one file is published, and all attempts are recorded."""
    row = _Row([3.0, 6.0, 9.0])
    result = row.play()
    assert (result["job_id"], row.flow.job_id) == ("job1", "job1")
    assert [step for step in row.done if step.startswith("assemble")] == ["assemble 1"]
    assert not any(step.endswith("2") for step in row.done)
    assert [(one["job_id"], one["lse_c"], one["verdict"]) for one in result["told"]] == [
        ("job0", 3.0, "check"),
        ("job1", 6.0, "passed"),
    ]
    assert row.flow.tally.chunks_rendered == 4


def test_where_none_passes_the_best_is_published() -> None:
    """Also where it was the first one."""
    row = _Row([4.0, 3.0, None])
    result = row.play()
    assert (result["job_id"], result["gate"]["verdict"]) == ("job0", "check")
    assert len(result["told"]) == 3


def test_an_attempt_that_breaks_is_passed_over() -> None:
    """It is recorded with its reason; the row goes on, and ends with what there is."""
    row = _Row([4.0, "breaks", 4.5])
    result = row.play()
    assert result["job_id"] == "job2"
    assert result["told"][1] == {
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
    assert row.flow.after_loss(render, "crash", "it broke") is None


def _published(number: int, lse_c: float, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"status": "done", "job_id": f"job{number}", **_result(lse_c), "attempts": attempts}


def test_a_gate_goes_by_no_other_networks_figures() -> None:
    """A lip-sync expert's certainty is no LSE-C: bounds on it are not checked, and other bounds are."""
    result = _result(None)
    result["sync"] = {"judge_sha256": "ab", "after": {"sync_confidence": 0.1, "sync_distance": 0.7, "offset": 9}}
    assert verdict(result, Gate(min_lse_c=3.0, max_offset=1)) == {"verdict": "not checked", "reasons": []}
    found = verdict(result, Gate(min_lse_c=3.0, max_offset=1, max_no_face_share=0.0))
    assert found["verdict"] == "check"
    assert len(found["reasons"]) == 1
    assert verdict(_result(5.0), Gate())["verdict"] == "not checked"


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
    assert result["reused"]
    assert (row.flow.job_id, result["gate"]["verdict"]) == ("job1", "check")


def test_a_later_run_tries_what_is_new() -> None:
    """A fallback that was added is tried alone, and published if it is better; else what is there stays."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    row = _Row([3.0, 4.0, 6.0], published={"job0": known, "job1": known})
    assert row.play()["job_id"] == "job2"
    assert not any(step.startswith("render") and not step.endswith("2") for step in row.done)
    row = _Row([3.0, 4.0, 1.0], published={"job0": known, "job1": known})
    result = row.play()
    assert (result["job_id"], row.done[-1]) == ("job1", "settle 2")
    assert len(result["told"]) == 3


def test_a_looser_gate_makes_nothing_anew() -> None:
    """What is published is judged by today's bounds."""
    known = _published(1, 4.0, [_record(0, 3.0), _record(1, 4.0)])
    row = _Row([3.0, 4.0], published={"job0": known, "job1": known}, gate=Gate(min_lse_c=3.5))
    assert row.play()["gate"]["verdict"] == "passed"
    assert row.done == ["probe 0"]


def test_what_is_gone_is_not_published() -> None:
    """An attempt that lost once and would pass today is a record alone: what there is stays, and new ones are tried."""
    lost = {**_record(0, 3.0), "offset": 0}
    known = _published(1, 4.0, [lost, {**_record(1, 4.0), "offset": 9}])
    known["sync"]["after"]["offset"] = 9
    gate = Gate(min_lse_c=2.0, max_offset=1)
    row = _Row([3.0, 4.0], published={"job0": known, "job1": known}, gate=gate)
    assert row.play()["job_id"] == "job1"
    assert row.done == ["probe 0"]
    row = _Row([3.0, 4.0, 2.5], published={"job0": known, "job1": known}, gate=gate)
    assert row.play()["job_id"] == "job2"


def test_a_plain_result_of_an_earlier_run_is_the_first_attempt() -> None:
    """Fallbacks that came into the job file afterwards are tried with what did not pass."""
    plain = {"status": "done", "job_id": "job0", **_result(3.0)}
    row = _Row([3.0, 6.0], published={"job0": plain})
    assert row.play()["job_id"] == "job1"
    assert row.done[0] == "probe 0"
    assert "render 0" not in row.done


def test_lost_segments_are_rendered_again_once() -> None:
    """Two that are gone when the best is joined: both are made again, then it is joined; nothing is weighed anew."""
    row = _Row([4.0, 3.0])
    row.lost = [0, 1]
    result = row.play()
    assert row.done[-4:] == ["assemble 0", "render 0", "render 0", "assemble 0"]
    assert len(result["told"]) == 2


def test_what_failed_is_tried_again_later() -> None:
    """A crash, or weights that were not there, say nothing of the next run; nothing else is done again."""
    failed = {**_record(1, 0.0), "verdict": "failed", "code": "crash", "message": "it broke"}
    known = _published(0, 3.0, [_record(0, 3.0), failed])
    row = _Row([3.0, 6.0], published={"job0": known})
    assert row.play()["job_id"] == "job1"
    assert not any(step.startswith("render 0") for step in row.done)


def test_attempts_at_other_settings_do_not_count() -> None:
    """Who makes a fallback the row's own settings gets the others on top of them."""
    other = {**_record(0, 3.0), "job_id": "before"}
    known = _published(0, 4.0, [other, {**_record(1, 4.0), "job_id": "job0"}])
    row = _Row([4.0, 6.0], published={"job0": known})
    assert row.play()["job_id"] == "job1"


def test_another_judges_score_replaces_nothing() -> None:
    """What is published without a score stays, unless an attempt passes."""
    plain = {"status": "done", "job_id": "job0", **_result(None)}
    scored = {"sync": {"judge_sha256": "ab", "after": {"lse_c": 4.0, "lse_d": 7.0, "offset": 0}}}
    row = _Row([None, scored], published={"job0": plain})
    assert row.play()["job_id"] == "job0"
    scored["sync"]["after"]["lse_c"] = 6.0
    row = _Row([None, scored], published={"job0": plain})
    assert row.play()["job_id"] == "job1"


def test_a_gate_that_nothing_can_pass_is_a_mistake() -> None:
    """A bound on the score needs somebody who scores."""
    with pytest.raises(SettingsError, match=r"score\.judge is none"):
        resolve([("job.toml", {"score": {"judge": "none"}, "gate": {"min_lse_c": 1.0}})])
