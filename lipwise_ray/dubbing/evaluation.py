"""The life of a video that is evaluated, as a state machine: which tasks come next. Pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lipwise_ray.dubbing.flow import Progress, Tally
from lipwise_ray.dubbing.gate import verdict
from lipwise_ray.dubbing.tasks import Kind, Task, rank
from lipwise_ray.settings import Gate
from lipwise_ray.storage.address import shown
from lipwise_ray.values import Json

_MOST_REPAIRS = 3
_HANDED_ON = ("job_id", "identity", "video_id", "detector_id")


@dataclass(slots=True)
class EvaluationFlow:
    """Drives a row from a look at its files to its figures.

    Attributes:
        row: The row's line in the manifest.
        priority: Higher goes first.
        turn: Rows that are begun together have the same; lower goes first.
        share: Whose part of the workers the row takes.
        base: Payload of every task: the row's record, its weights, the scratch folder, the reference.
        gate: What the video must be like to pass.
    """

    row: int
    priority: int
    turn: int
    share: str
    base: Json
    gate: Gate = field(default_factory=Gate)
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    job_id: str = ""
    result: Json | None = None
    """Set once the row is done."""
    _known: Json = field(default_factory=dict[str, Any])
    _open: set[str] = field(default_factory=set[str])
    _measures: list[list[int]] = field(default_factory=list[list[int]])
    """Stretches of the video that are to be measured: number, start and stop."""
    _found_missing: bool = False
    _repairs: int = 0
    _frames: int | None = None

    def start(self) -> list[Task]:
        """Return the row's first task."""
        self.progress.stage = "probing"
        return [self._task("examine", f"examine:{self.row}/{self._repairs}", {})]

    def advance(self, task: Task, result: Json) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        self._open.discard(task.id)
        self.progress.done += task.frames
        if task.kind == "examine":
            return self._after_examination(result)
        if task.kind == "conclude":
            return self._after_conclusion(result)
        self._found_missing |= "missing" in result
        if task.kind == "scan":
            self.tally.scans += 1
        else:
            self.tally.chunks_rendered += 1
            self.tally.frames_rendered += task.frames
        if self._open:
            return []
        if self._found_missing:
            return self._again("records of its video must stay whole in the state")
        return self._measure() if task.kind == "scan" else [self._conclude()]

    def without_lips(self, task: Task) -> list[Task]:
        """Return nothing: what cannot be measured has no other figures."""
        del task
        return []

    def is_past(self, task: Task) -> bool:
        """Return False: the row waits for every task."""
        del task
        return False

    def after_loss(self, task: Task, code: str, message: str) -> list[Task] | None:
        """Return None: without one of its tasks a row cannot go on."""
        del task, code, message
        return None

    def _task(self, kind: Kind, task_id: str, extra: Json, *, frames: int = 0, chunk: int = 0) -> Task:
        self._open.add(task_id)
        payload = {**self.base, **self._known, **extra}
        place = rank(kind, self.priority, self.turn, self.row, chunk, frames=self._frames)
        return Task(task_id, kind, payload, frames, place, self.job_id, self.share)

    def _after_examination(self, result: Json) -> list[Task]:
        self.job_id = result["job_id"]
        if result["published"] is not None:
            self.tally.chunks = self.tally.chunks_reused = int(result["published"].get("chunks", 0))
            return self._finish({**result["published"], "reused": True})
        self._known = {key: result[key] for key in _HANDED_ON}
        self._frames = int(result["frames"])
        self._measures = result["measure"]
        self.tally.chunks = int(result["chunks"])
        reused = self.tally.chunks_reused if self._repairs else self.tally.chunks
        self.tally.chunks_reused = max(0, reused - len(self._measures))
        scans = self._looks("scan", f"{result['video_id']}/{result['detector_id']}", result["scan"])
        if scans:
            self.progress.stage = "scanning"
        return scans or self._measure()

    def _looks(self, kind: Kind, record: str, todo: list[list[int]]) -> list[Task]:
        self.progress.todo, self.progress.done = sum(stop - start for _, start, stop in todo), 0
        return [
            self._task(
                kind,
                f"{kind}:{record}/{number}",
                {"chunk": number, "start": start, "stop": stop, "is_missing": True},
                frames=stop - start,
                chunk=number,
            )
            for number, start, stop in todo
        ]

    def _measure(self) -> list[Task]:
        self.progress.stage = "scoring"
        return self._looks("measure", self.job_id, self._measures) or [self._conclude()]

    def _conclude(self) -> Task:
        self.progress.stage = "assembling"
        return self._task("conclude", f"conclude:{self.job_id}/{self._repairs}", {})

    def _after_conclusion(self, result: Json) -> list[Task]:
        if "missing" in result:
            return self._again(str(result["missing"]))
        return self._finish({**result, "reused": False})

    def _again(self, message: str) -> list[Task]:
        """Return the task that finds out which records have to be made again."""
        self._found_missing = False
        self._repairs += 1
        if self._repairs > _MOST_REPAIRS:
            return self._finish({"status": "failed", "code": "records_damaged", "message": message})
        return self.start()

    def _finish(self, result: Json) -> list[Task]:
        self.progress.stage = "done"
        self.progress.done = self.progress.todo
        self.result = self._named(result) if result["status"] == "done" else result
        return []

    def _named(self, result: Json) -> Json:
        """Return figures under the row's own names: rows of equal files share them."""
        told = self.base["job"]
        named = {"output": shown(told["video"]), "language": told["language"], "tags": told["tags"]}
        if result["fidelity"]:
            named["fidelity"] = {**result["fidelity"], "reference": shown(self.base["reference"])}
        return {**result, **named, "gate": verdict(result, self.gate)}
