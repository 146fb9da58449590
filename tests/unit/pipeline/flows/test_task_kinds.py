"""The table of the kinds of tasks is whole, and the only one."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lipwise_ray
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.speeches import MadeSpeech
from lipwise_ray.pipeline.dubbing.task_parts import (
    Attempts,
    NumberedSpan,
    Probed,
    ReferencePart,
    RenderedSegment,
    Repairs,
    RowPart,
)
from lipwise_ray.pipeline.flows import task_kinds
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludePayload,
    ConcludeResult,
    ExaminePayload,
    ExamineResult,
    MeasurePayload,
    MeasureResult,
    ToMeasure,
)
from lipwise_ray.pipeline.flows.task_kinds import (
    KINDS,
    AssemblePayload,
    AssembleResult,
    CheckPayload,
    CheckResult,
    HearPayload,
    HearResult,
    KnownRow,
    ListenPayload,
    ListenResult,
    PlanPayload,
    PlanResult,
    ProbePayload,
    ProbeResult,
    RecheckPayload,
    RecheckResult,
    RecognisePayload,
    RecogniseResult,
    RenderPayload,
    RenderResult,
    ScanPayload,
    ScanResult,
    ScorePayload,
    ScoreResult,
    SeparatePayload,
    SeparateResult,
    SettlePayload,
    SettleResult,
    SoundPayload,
    SoundResult,
    SpeakPayload,
    SpeakResult,
    ToDo,
    TranscribePayload,
    TranscribeResult,
    WeighPayload,
    WeighResult,
)
from lipwise_ray.pipeline.manifest.speakers import Script, Speaker
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import all_handlers, handles
from lipwise_ray.scheduler.task import Hints, TaskKind
from lipwise_ray.settings.layers import resolve
from lipwise_ray.state.job_result import (
    Counts,
    DubResult,
    EvaluationResult,
    FailedAttempt,
    Fidelity,
    MeasuredAttempt,
    Seen,
    VideoMeasures,
)
from lipwise_ray.values import Span

SETTINGS = resolve([("test", {"chunk": {"length_s": 5}, "encode": {"codec": ["h264_nvenc", "libx264"]}})])
CHOICE = Choice("libx264", "libx264", bfloat16=False)
WEIGHTS = Checkpoints(
    {
        "detector": (
            Checkpoint("s3fd", "s3fd", Path("/a"), "a" * 64),
            Checkpoint("fan_2d", "fan_2d", Path("/b"), "b" * 64),
        ),
        "judge": Checkpoint("x", "syncnet", Path("/c"), "c" * 64, "MIT", "yes", "", "drawn faces"),
    }
)
SPEC = JobSpec(
    "r",
    "s3://b/v.mp4",
    None,
    "o.mp4",
    "/o/o.mp4",
    "/t.npz",
    1.5,
    9.0,
    "auto",
    ("x", "y"),
    SETTINGS,
    (Speaker("left", "/one.wav"), Speaker("like:/p.png", "/two.wav", 0.5, 2.0)),
)
ROW = RowPart(SPEC, WEIGHTS, "cuda", (CHOICE,), (CHOICE, Choice("libx265")), 1, verify=True)
PROBED = Probed("j", {"video": "v", "settings": {"a": [1, None]}}, "v", "d", "s", "l", {"/p.png": "p"}, CHOICE)
PIECE = NumberedSpan(3, 30, 40)
SEGMENT = RenderedSegment(2, "attempt", "f" * 64)
HISTORY = Attempts(
    (
        MeasuredAttempt(settings={}, verdict="check", job_id="first", lse_c=4.5, reasons=("LSE-C",)),
        FailedAttempt(settings={"lipsync": {"audio_offset_ms": 40.0}}, code="crash", message="it broke"),
    ),
    "first",
)
RESULT = DubResult(job_id="j", output="o", frames=9, chunks=1, bytes_total=5, sha256="d" * 64, tags=("x",))
EVALUATED = EvaluationResult(
    kind="evaluation", job_id="j", output="o", frames=9, chunks=1, fidelity=Fidelity(psnr=30.0)
)
SCRIPTS = (Script("Hello.", voice="es"), Script(file="s3://b/c.srt"))
EXAMPLES: list[tuple[TaskKind[Any, Any], list[Any], list[Any]]] = [
    (
        task_kinds.SPEAK,
        [SpeakPayload(RowPart(replace(SPEC, script=one), WEIGHTS, "cpu")) for one in SCRIPTS],
        [SpeakResult(speeches=(MadeSpeech(f"state://speech/x/{'e' * 64}.wav", 1.5),))],
    ),
    (
        task_kinds.PROBE,
        [ProbePayload(ROW), ProbePayload(RowPart(SPEC, Checkpoints(), "cpu"))],
        [
            ProbeResult(job_id="j", to_do=ToDo(probed=PROBED, frames=9, scan=(PIECE,), portraits={"/p.png": "p"})),
            ProbeResult(job_id="j", published=RESULT, problem="is not the file that was published"),
        ],
    ),
    (
        task_kinds.RECHECK,
        [RecheckPayload(ROW, (KnownRow("/o/o.mp4", Seen(5, "7"), (("s3://b/v.mp4", "v"), ("/a.wav", "1-2-3"))),))],
        [RecheckResult(), RecheckResult(changed=(0,))],
    ),
    (task_kinds.CHECK, [CheckPayload(ROW, PROBED)], [CheckResult()]),
    (task_kinds.SCAN, [ScanPayload(ROW, PROBED, PIECE)], [ScanResult()]),
    (task_kinds.HEAR, [HearPayload(ROW, PROBED)], [HearResult()]),
    (task_kinds.LISTEN, [ListenPayload(ROW, PROBED, PIECE)], [ListenResult(), ListenResult(missing="tracks")]),
    (
        task_kinds.RECOGNISE,
        [RecognisePayload(ROW, PROBED, PIECE), RecognisePayload(ROW, PROBED, portrait=("/p.png", "p"))],
        [RecogniseResult(missing="tracks")],
    ),
    (
        task_kinds.PLAN,
        [PlanPayload(ROW, PROBED)],
        [PlanResult(chunks=(Span(0, 9), Span(9, 12)), done=(1,)), PlanResult(missing="scan")],
    ),
    (
        task_kinds.RENDER,
        [RenderPayload(ROW, PROBED, 2, original=True)],
        [RenderResult(frames=9, stages={"decode": 0.5}), RenderResult(frames=9, segment=SEGMENT)],
    ),
    (task_kinds.SOUND, [SoundPayload(ROW, PROBED)], [SoundResult(copied=True, sound="jobs/j/sound/copied/x.mp4")]),
    (task_kinds.SEPARATE, [SeparatePayload(ROW, PROBED)], [SeparateResult()]),
    (task_kinds.TRANSCRIBE, [TranscribePayload(ROW, PROBED)], [TranscribeResult(language=None)]),
    (
        task_kinds.SCORE,
        [ScorePayload(ROW, PROBED, 2), ScorePayload(ROW, PROBED, 2, (SEGMENT,))],
        [ScoreResult(missing=(1, 2))],
    ),
    (
        task_kinds.WEIGH,
        [WeighPayload(ROW, PROBED, (1,))],
        [
            WeighResult(measures=VideoMeasures(video_s=1.5, counts=Counts(frames=9))),
            WeighResult(repairs=Repairs(score=(1,))),
        ],
    ),
    (
        task_kinds.ASSEMBLE,
        [AssemblePayload(ROW, PROBED, (1,), "de", f"jobs/j/sound/encoded/{'e' * 64}.m4a", HISTORY)],
        [AssembleResult(published=RESULT), AssembleResult(repairs=Repairs(render=(0,)))],
    ),
    (task_kinds.SETTLE, [SettlePayload(ROW, HISTORY, "best")], [SettleResult(published=RESULT)]),
    (
        task_kinds.EXAMINE,
        [ExaminePayload(ROW, ReferencePart("s3://b/r.mp4", {"fid": "inception is not installed"}))],
        [
            ExamineResult(job_id="j", known=EVALUATED),
            ExamineResult(job_id="j", to_do=ToMeasure(probed=PROBED, frames=9, chunks=1, lag_s=0.0, measure=(PIECE,))),
        ],
    ),
    (task_kinds.MEASURE, [MeasurePayload(ROW, PROBED, PIECE, ReferencePart())], [MeasureResult()]),
    (
        task_kinds.CONCLUDE,
        [ConcludePayload(ROW, PROBED, ReferencePart("/r.mp4"))],
        [ConcludeResult(evaluated=EVALUATED)],
    ),
]


def test_every_kind_has_a_handler_and_an_example() -> None:
    """A kind that is added to the table has somebody who does it, and its payload and result are tried below."""
    kinds = {kind for kind in vars(task_kinds).values() if isinstance(kind, TaskKind)}
    assert kinds == set(KINDS.values()) == set(all_handlers()) == {kind for kind, _, _ in EXAMPLES}
    assert all(name == kind.name for name, kind in KINDS.items())


def test_a_kind_has_one_handler() -> None:
    """A second function that says it does a kind is a slip, told by the names of both."""
    with pytest.raises(ValueError, match="two handlers of render: render, other"):

        @handles(task_kinds.RENDER)
        def other(context: TaskContext, payload: RenderPayload, hints: Hints) -> RenderResult:
            raise NotImplementedError


@pytest.mark.parametrize(("kind", "payloads", "results"), EXAMPLES, ids=[kind.name for kind, _, _ in EXAMPLES])
def test_what_passes_a_border_stays_what_it_is(
    kind: TaskKind[Any, Any], payloads: list[Any], results: list[Any]
) -> None:
    """Of a process, and of a dead letter, which says of all parts side by side what it says."""
    for payload in payloads:
        assert kind.read_payload(kind.write_payload(payload)) == payload
        record = json.loads(json.dumps(kind.record_of(payload)))
        assert kind.payload_of(record) == payload
        assert kind.payload_of({**record, "scratch": "/s", "run_me": "import os"}) == payload
        assert record["job"]["video"] == "s3://b/v.mp4"
        assert isinstance(record["job"]["settings"], str)
        assert not {"row", "probed", "piece", "comparison", "history"} & record.keys()
    for result in results:
        assert kind.read_result(kind.write_result(result)) == result


def _named_kinds(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            found = [*node.elts]
        elif isinstance(node, ast.Dict):
            found = [*node.keys]
        elif isinstance(node, ast.Match):
            found = [case.pattern.value for case in node.cases if isinstance(case.pattern, ast.MatchValue)]
        names = {one.value for one in found if isinstance(one, ast.Constant) and one.value in KINDS}
        if len(names) > 1:
            yield getattr(node, "lineno", 0), names


def test_nobody_else_lists_kinds() -> None:
    """Two names of kinds in one display are a table beside the table."""
    root = Path(lipwise_ray.__file__).parent
    found = [
        f"{path.relative_to(root)}:{line} {sorted(names)}"
        for path in sorted(root.rglob("*.py"))
        for line, names in _named_kinds(ast.parse(path.read_text("utf-8")))
    ]
    assert not found
