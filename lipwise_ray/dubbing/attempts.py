"""A row that is rendered again with fallback settings while its gate is not passed; the best attempt is published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lipwise_ray.dubbing.flow import Progress, RowFlow, Tally
from lipwise_ray.dubbing.gate import figures_of, judged, rank, verdict
from lipwise_ray.dubbing.tasks import Task
from lipwise_ray.settings import Gate
from lipwise_ray.state.attempts import ACCEPTED, FAILED
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to render a row.

    Attributes:
        settings: What it changes in the row's own, nothing for the first.
        flow: Renders it and has it weighed; None where that cannot be begun.
        problem: Why not: ``code`` and ``message``.
    """

    settings: Json
    flow: RowFlow | None
    problem: Json = field(default_factory=dict[str, str])


@dataclass(slots=True)
class AttemptsFlow:
    """Drives a row through its attempts, one after another, until one passes or none is left.

    Attributes:
        share: Whose part of the workers the row takes.
        gate: What a video must be like to pass.
        attempts: The first one has the row's own settings.
    """

    share: str
    gate: Gate
    attempts: list[Attempt]
    result: Json | None = None
    """Set once the row is done."""
    _at: int = 0
    _records: list[Json] = field(default_factory=list[Json])
    """What became of the attempts, in order."""
    _known: Json | None = None
    """What an earlier run published for the row's own settings."""
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
    def progress(self) -> Progress:
        """How far the present attempt is."""
        return self._flow.progress

    @property
    def tally(self) -> Tally:
        """What all attempts cost; chunks are the present one's."""
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
        """Tell whether a task is of an attempt that was given up while it ran."""
        return task.payload["attempt"] != self._at

    def advance(self, task: Task, result: Json) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        if task.kind == "settle":
            return self._finish(result)
        flow = self._flow
        following = flow.advance(task, result)
        self._first_id = self._first_id or flow.job_id
        if flow.result is not None:
            return self._after_end(flow.result)
        if flow.weighed is None or following or flow.is_publishing:
            return following
        return self._note(flow.weighed)

    def without_lips(self, task: Task) -> list[Task]:
        """Return what takes the place of a render task of the first attempt; others are given up whole."""
        return self._flow.without_lips(task) if self._at == 0 else []

    def after_loss(self, task: Task, code: str, message: str) -> list[Task] | None:
        """Go on without an attempt of which a task was given up; None where that was the first, or the end."""
        onward = self._flow.after_loss(task, code, message)
        if onward is not None:
            return onward
        if task.kind == "settle" or self._at == 0 or self._flow.is_publishing:
            return None
        return self._note_failure({"code": code, "message": message})

    def _after_end(self, result: Json) -> list[Task]:
        flow = self._flow
        if flow.is_publishing or (result["status"] != "done" and self._at == 0):
            return self._finish(result)
        if result["status"] != "done":
            return self._note_failure({"code": result["code"], "message": result["message"]})
        self._published.add(str(result["job_id"]))  # by an earlier run
        if self._at == 0:
            self._known = result
            self._records = list(self._earlier(result))
        return self._next() if self._records and self._at == 0 else self._note(result)

    def _earlier(self, result: Json) -> Iterator[Json]:
        """Yield what is still true of attempts that an earlier run recorded, judged by today's gate.

        What failed then may work now; and attempts at a row of other settings are none at this one.
        """
        known: list[Json] = result.get("attempts") or []
        if any(not one["settings"] and one.get("job_id") == self._first_id for one in known):
            yield from ({**one, **judged(one, self.gate)} for one in known if one["verdict"] != FAILED)

    def _note(self, result: Json) -> list[Task]:
        job_id = str(result.get("job_id") or self._flow.job_id)
        figures = figures_of(result)
        settings = self.attempts[self._at].settings
        self._records.append({"settings": settings, "job_id": job_id, **figures, **judged(figures, self.gate)})
        return self._next()

    def _note_failure(self, problem: Json) -> list[Task]:
        flow, settings = self._flow, self.attempts[self._at].settings
        self._records.append({"settings": settings, "job_id": flow.job_id, "verdict": FAILED, **problem})
        return self._next()

    def _next(self) -> list[Task]:
        """Return the first task of the next attempt, or what publishes the best."""
        if not any(one["verdict"] in ACCEPTED for one in self._there):
            tried = [one["settings"] for one in self._records]
            for number, attempt in enumerate(self.attempts):
                if attempt.settings in tried:
                    continue
                if attempt.flow:
                    self._at = number
                    return attempt.flow.start()
                self._records.append({"settings": attempt.settings, "verdict": FAILED, **attempt.problem})
        return self._publish()

    @property
    def _there(self) -> list[Json]:
        """The attempts that can be published, or are; of others that earlier runs made nothing is left but a record.

        What is published is not replaced by what another judge likes better, unless that passes.
        """
        made = {flow.job_id for flow in self._flows if flow.weighed}
        judges = {one.get("judge") for one in self._records if one.get("job_id") in self._published}
        return [
            one
            for one in self._records
            if one["verdict"] != FAILED
            and (
                one["job_id"] in self._published
                or (one["job_id"] in made and (not judges or one.get("judge") in judges or one["verdict"] in ACCEPTED))
            )
        ]

    def _publish(self) -> list[Task]:
        self._best_id = job_id = str(max(self._there, key=rank)["job_id"])
        extra: Json = {"attempts": self._records, "first_id": self._first_id}
        if job_id not in self._published:
            self._at = next(n for n, one in enumerate(self.attempts) if one.flow and one.flow.job_id == job_id)
            return self._flow.publish(extra)
        if self._known and self._known["job_id"] == job_id and not any(flow.weighed for flow in self._flows):
            return self._finish({**self._known, "attempts": self._records})
        return [self._flow.settle({**extra, "best_id": job_id})]

    def _finish(self, result: Json) -> list[Task]:
        is_new = any(flow.tally.chunks_rendered for flow in self._flows)
        self.result = {**result, **({"reused": False} if result.get("reused") and is_new else {})}
        if result["status"] == "done":
            self.result["gate"] = verdict(result, self.gate)
        return []
