"""A row that is rendered again with fallback settings while its gate is not passed; the best attempt is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from lipwise_ray.pipeline.dubbing.task_parts import Attempts
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import SETTLE, SettleResult
from lipwise_ray.pipeline.quality.gate import figures_of, is_undubbed_alone, judged, rank, verdict
from lipwise_ray.scheduler.flow import Progress
from lipwise_ray.scheduler.task import OUTSIDE, Failure, Task, TaskResult
from lipwise_ray.settings.model import GateSettings
from lipwise_ray.state.attempts import ACCEPTED
from lipwise_ray.state.job_result import DubResult, FailedAttempt, MeasuredAttempt, RowFailure, VideoMeasures
from lipwise_ray.state.row_outcome import Tally
from lipwise_ray.values import Json

_OF_FACES = ("faces", "detect", "source")
"""Sections of settings that decide which faces are found and dubbed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to render a row.

    Attributes:
        settings: Changes to the row's own settings, none for the first.
        flow: Renders it and has it measured; None where that cannot be begun.
        problem: Reason why not.
    """

    settings: Json
    flow: RowFlow | None
    problem: RowFailure = field(default_factory=RowFailure)


@dataclass(slots=True)
class AttemptsFlow:
    """Drives a row through its attempts, one after another, until one passes or none is left.

    Attributes:
        tenant: Tenant whose part of the workers the row takes.
        gate: Requirements that a video must meet to pass.
        attempts: The first one has the row's own settings.
    """

    tenant: str
    gate: GateSettings
    attempts: list[Attempt]
    result: DubResult | RowFailure | None = None
    """Set once the row is done."""
    _at: int = 0
    _records: list[FailedAttempt | MeasuredAttempt] = field(default_factory=list[FailedAttempt | MeasuredAttempt])
    """Outcomes of the attempts, in order."""
    _known: DubResult | None = None
    """Result that an earlier run published for the row's own settings."""
    _published: set[str] = field(default_factory=set[str])
    """Jobs whose results earlier runs published."""
    _first_id: str = ""
    """The job of the row's own settings, under which a later run looks for what was published."""
    _best_id: str = ""

    @property
    def _flow(self) -> RowFlow:
        flow = self.attempts[self._at].flow
        assert flow is not None  # attempts without one are passed over
        return flow

    @property
    def job_id(self) -> str:
        """The job of the present attempt; in the end that of the one which was published."""
        return self._best_id or self._flow.job_id

    @property
    def inputs(self) -> Sequence[str] | None:
        """Stamps of the row's inputs; None where a later run may try other ways once more."""
        result, first = self.result, self.attempts[0].flow
        gate = result.gate if isinstance(result, DubResult) else None
        return first.inputs if first and gate and gate.verdict in ACCEPTED else None

    @property
    def progress(self) -> Progress:
        """Progress of the present attempt."""
        return self._flow.progress

    @property
    def tally(self) -> Tally:
        """Tally of all attempts; chunks are the present one's."""
        total = Tally(chunks=self._flow.tally.chunks, chunks_reused=self._flow.tally.chunks_reused)
        for flow in self._flows:
            total.chunks_rendered += flow.tally.chunks_rendered
            total.scans += flow.tally.scans
            total.frames_rendered += flow.tally.frames_rendered
        return total

    @property
    def _flows(self) -> list[RowFlow]:
        return [attempt.flow for attempt in self.attempts if attempt.flow]

    def start(self) -> list[Task]:
        """Return the row's first task."""
        return self._flow.start()

    def is_past(self, task: Task) -> bool:
        """Tell whether the present attempt does not wait for a task, of an earlier one that was given up, say."""
        return self._flow.is_past(task)

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        if isinstance(result, SettleResult):
            return self._finish(replace(result.published, reused=True))
        return self._go_on(self._flow.advance(task, result))

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        """Go on without an attempt of which a task was given up; None where that was the first, or the end."""
        onward = None if task.kind is SETTLE else self._flow.on_failure(task, failure)
        if onward is not None:
            return self._go_on(onward)
        is_last = task.kind is SETTLE or self._at == 0 or self._flow.is_publishing
        if is_last or failure.blame in OUTSIDE:
            return None
        return self._note_failure(RowFailure(code=failure.code, message=failure.message))

    def _go_on(self, following: list[Task]) -> list[Task]:
        """Return the tasks that follow in the present attempt, or after it."""
        flow = self._flow
        self._first_id = self._first_id or flow.job_id
        if flow.result is not None:
            return self._after_end(flow.result)
        if flow.measured is None or following or flow.is_publishing:
            return following
        return self._note(flow.measured, flow.job_id)

    def _after_end(self, result: DubResult | RowFailure) -> list[Task]:
        flow = self._flow
        if flow.is_publishing or (isinstance(result, RowFailure) and self._at == 0):
            return self._finish(result)
        if isinstance(result, RowFailure):
            return self._note_failure(result)
        self._published.add(result.job_id)  # by an earlier run
        if self._at == 0:
            self._known = result
            self._records = list(self._earlier(result))
        return self._next() if self._records and self._at == 0 else self._note(result, result.job_id)

    def _earlier(self, result: DubResult) -> Iterator[MeasuredAttempt]:
        """Yield the attempts of an earlier run that still hold, with the verdict of today's gate.

        What failed then may work now; and attempts at a row of other settings are none at this one.
        """
        recorded = result.attempts or ()
        if any(not one.settings and one.job_id == self._first_id for one in recorded):
            for one in recorded:
                if isinstance(one, MeasuredAttempt):
                    gate_verdict = judged(one, self.gate)
                    yield replace(one, verdict=gate_verdict.verdict, reasons=gate_verdict.reasons)

    def _note(self, measures: VideoMeasures, job_id: str) -> list[Task]:
        figures = figures_of(measures)
        gate_verdict = judged(figures, self.gate)
        self._records.append(
            MeasuredAttempt(
                settings=self.attempts[self._at].settings, job_id=job_id, **asdict(gate_verdict), **asdict(figures)
            )
        )
        return self._next()

    def _note_failure(self, problem: RowFailure) -> list[Task]:
        self._records.append(_failed(self.attempts[self._at].settings, problem, self._flow.job_id))
        return self._next()

    def _next(self) -> list[Task]:
        """Return the first task of the next attempt, or what publishes the best."""
        if not any(one.verdict in ACCEPTED for one in self._there):
            tried = [one.settings for one in self._records]
            # Rendered in whatever way, the same faces would stay as they are.
            needs_faces = any(is_undubbed_alone(one, self.gate) for one in self._there)
            for number, attempt in enumerate(self.attempts):
                if attempt.settings in tried or (needs_faces and attempt.settings.keys().isdisjoint(_OF_FACES)):
                    continue
                if attempt.flow:
                    self._at = number
                    return attempt.flow.start()
                self._records.append(_failed(attempt.settings, attempt.problem))
        return self._publish()

    @property
    def _there(self) -> list[MeasuredAttempt]:
        """The attempts that can be published, or are; of others that earlier runs made nothing is left but a record.

        What is published is not replaced by what another judge likes better, unless that passes.
        """
        made = {flow.job_id for flow in self._flows if flow.measured}
        there = [one for one in self._records if isinstance(one, MeasuredAttempt)]
        judges = {one.judge for one in there if one.job_id in self._published}
        return [
            one
            for one in there
            if one.job_id in self._published
            or (one.job_id in made and (not judges or one.judge in judges or one.verdict in ACCEPTED))
        ]

    def _publish(self) -> list[Task]:
        self._best_id = job_id = max(self._there, key=rank).job_id
        history = Attempts(tuple(self._records), self._first_id or None)
        if job_id not in self._published:
            self._at = next(n for n, one in enumerate(self.attempts) if one.flow and one.flow.job_id == job_id)
            return self._flow.publish(history)
        if self._known and self._known.job_id == job_id and not any(flow.measured for flow in self._flows):
            return self._finish(replace(self._known, attempts=tuple(self._records)))
        return [self._flow.settle(history, job_id)]

    def _finish(self, result: DubResult | RowFailure) -> list[Task]:
        self.result = result
        if isinstance(result, DubResult):
            is_new = any(flow.tally.chunks_rendered for flow in self._flows)
            reused = False if is_new else result.reused
            self.result = replace(result, reused=reused, gate=verdict(result, self.gate))
        return []


def _failed(settings: Json, problem: RowFailure, job_id: str | None = None) -> FailedAttempt:
    return FailedAttempt(settings=settings, job_id=job_id, code=problem.code, message=problem.message)
