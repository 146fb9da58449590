"""The table of the kinds of tasks. Whatever needs to know of all kinds, or what holds for one, reads it here."""

from __future__ import annotations

from lipwise_ray.pipeline.flows.payloads import (
    AssemblePayload,
    CheckPayload,
    ConcludePayload,
    ExaminePayload,
    ListenPayload,
    MeasurePayload,
    PlanPayload,
    ProbePayload,
    RecognisePayload,
    RenderPayload,
    ScanPayload,
    ScorePayload,
    SettlePayload,
    SoundPayload,
    TranscribePayload,
    WeighPayload,
)
from lipwise_ray.pipeline.flows.results import (
    AssembleResult,
    CheckResult,
    ConcludeResult,
    ExamineResult,
    ListenResult,
    MeasureResult,
    PlanResult,
    ProbeResult,
    RecogniseResult,
    RenderResult,
    ScanResult,
    ScoreResult,
    SettleResult,
    SoundResult,
    TranscribeResult,
    WeighResult,
)
from lipwise_ray.scheduler.task import AnyKind, TaskKind

# One row a kind: name, lane, order, what its tasks are told and give back, and what else holds for it.
PROBE = TaskKind("probe", "cpu", 7, ProbePayload, ProbeResult)
CHECK = TaskKind("check", "gpu", 7, CheckPayload, CheckResult)
SCAN = TaskKind("scan", "gpu", 6, ScanPayload, ScanResult, counts_frames=True)
LISTEN = TaskKind("listen", "gpu", 5, ListenPayload, ListenResult, counts_frames=True)
RECOGNISE = TaskKind("recognise", "gpu", 5, RecognisePayload, RecogniseResult, counts_frames=True)
RENDER = TaskKind("render", "gpu", 2, RenderPayload, RenderResult, counts_frames=True)
PLAN = TaskKind("plan", "cpu", 4, PlanPayload, PlanResult, admits=RENDER)
SOUND = TaskKind("sound", "cpu", 3, SoundPayload, SoundResult)
TRANSCRIBE = TaskKind("transcribe", "gpu", 1, TranscribePayload, TranscribeResult, optional=True)
SCORE = TaskKind("score", "gpu", 1, ScorePayload, ScoreResult, counts_frames=True, optional=True)
WEIGH = TaskKind("weigh", "cpu", 0, WeighPayload, WeighResult)
ASSEMBLE = TaskKind("assemble", "cpu", 0, AssemblePayload, AssembleResult)
SETTLE = TaskKind("settle", "cpu", 0, SettlePayload, SettleResult)
EXAMINE = TaskKind("examine", "cpu", 7, ExaminePayload, ExamineResult)
MEASURE = TaskKind("measure", "gpu", 2, MeasurePayload, MeasureResult, counts_frames=True)
CONCLUDE = TaskKind("conclude", "cpu", 0, ConcludePayload, ConcludeResult)

KINDS: dict[str, AnyKind] = {kind.name: kind for kind in [*vars().values()] if isinstance(kind, TaskKind)}
"""All kinds, by their names: every row above."""
