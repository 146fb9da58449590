"""The life of a video that is evaluated, as a state machine: which tasks come next. Pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed, ReferencePart
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludePayload,
    ConcludeResult,
    ExaminePayload,
    ExamineResult,
    MeasurePayload,
    MeasureResult,
    ToMeasure,
)
from lipwise_ray.pipeline.flows.row_tasks import RowTasks
from lipwise_ray.pipeline.flows.task_kinds import (
    CONCLUDE,
    EXAMINE,
    MEASURE,
    SCAN,
    ScanPayload,
    ScanResult,
)
from lipwise_ray.pipeline.quality.gate import verdict
from lipwise_ray.scheduler.task import Task, TaskResult
from lipwise_ray.state.job_result import EvaluationResult
from lipwise_ray.storage.address import shown


@dataclass(slots=True)
class EvaluationFlow(RowTasks[EvaluationResult]):
    """Drives a row from a look at its files to its figures.

    Attributes:
        comparison: Reference that its video is compared with.
    """

    comparison: ReferencePart = field(default_factory=ReferencePart)
    _to_do: ToMeasure | None = None
    """Findings of the latest probe of its files; None before it has any."""

    def start(self) -> list[Task]:
        """Return the row's first task."""
        self._enter("probing")
        return [self._task(EXAMINE, f"{self.row}/{self._repairs}", ExaminePayload(self.base, self.comparison))]

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        self._take(task, result)
        match result:
            case ExamineResult():
                return self._after_examination(result)
            case ConcludeResult():
                return self._after_conclusion(result)
            case ScanResult():
                self.tally.scans += 1
            case MeasureResult():
                self._missing = result.missing or self._missing
                self.tally.chunks_rendered += 1
                self.tally.frames_rendered += task.frames
            case _:
                raise TypeError(f"{task.id}: {type(result).__name__} is not a result of an evaluation's task")
        if self._open:
            return []
        if self._missing:
            return self._again("records of its video are missing or damaged in the state")
        return self._measure() if task.kind is SCAN else [self._conclude()]

    @property
    def _found(self) -> ToMeasure:
        assert self._to_do is not None  # its files were looked at
        return self._to_do

    @property
    def _probed(self) -> Probed:
        return self._found.probed

    def _after_examination(self, result: ExamineResult) -> list[Task]:
        self.job_id = result.job_id
        if result.known is not None:
            self.tally.chunks = self.tally.chunks_reused = result.known.chunks
            return self._finish(result.known, is_reused=True)
        assert result.to_do is not None  # one of the two is known
        self._to_do, self._frames = result.to_do, result.to_do.frames
        self.comparison = replace(self.comparison, lag_s=result.to_do.lag_s)
        self.tally.chunks = self._to_do.chunks
        reused = self.tally.chunks_reused if self._repairs else self.tally.chunks
        self.tally.chunks_reused = max(0, reused - len(self._to_do.measure))
        scans = self._tasks_of(
            SCAN, f"{self._probed.video_id}/{self._probed.detector_id}", self._to_do.scan, self._scan
        )
        if scans:
            self._enter("scanning")
        return scans or self._measure()

    def _scan(self, piece: NumberedSpan) -> ScanPayload:
        return ScanPayload(self.base, self._probed, piece)

    def _measure(self) -> list[Task]:
        self._enter("scoring")
        base, probed, comparison = self.base, self._probed, self.comparison
        return self._tasks_of(
            MEASURE, self.job_id, self._found.measure, lambda piece: MeasurePayload(base, probed, piece, comparison)
        ) or [self._conclude()]

    def _conclude(self) -> Task:
        self._enter("assembling")
        payload = ConcludePayload(self.base, self._probed, self.comparison)
        return self._task(CONCLUDE, f"{self.job_id}/{self._repairs}", payload)

    def _after_conclusion(self, result: ConcludeResult) -> list[Task]:
        return self._again(result.missing) if result.evaluated is None else self._finish(result.evaluated)

    def _again(self, message: str) -> list[Task]:
        """Return the task that finds out which records have to be made again."""
        return self.start() if self._may_repair("records_damaged", message) else []

    def _finish(self, result: EvaluationResult, *, is_reused: bool = False) -> list[Task]:
        """End with figures under the row's own names: rows of equal files share them."""
        job = self.base.job
        fidelity, reference = result.fidelity, self.comparison.reference
        named = replace(
            result,
            output=shown(job.video),
            language=job.language,
            tags=job.tags,
            fidelity=replace(fidelity, reference=shown(reference)) if fidelity and reference else fidelity,
        )
        gate = self.gate.model_copy(update={"min_sharpness": None})  # it is measured where frames are rendered
        self._end(replace(named, reused=is_reused, gate=verdict(result, gate)))
        return []
