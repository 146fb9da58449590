"""The life of one row as a state machine: which tasks come next. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lipwise_ray.dubbing.abilities import choice_in
from lipwise_ray.dubbing.gate import verdict
from lipwise_ray.dubbing.ids import judge_id
from lipwise_ray.dubbing.tasks import NO_WORKER_CAN, Kind, Task, rank
from lipwise_ray.dubbing.transcribing import AUTO
from lipwise_ray.media.encode import ENCODER_REFUSED
from lipwise_ray.settings import Gate
from lipwise_ray.values import Json

Stage = Literal["waiting", "probing", "scanning", "comparing", "planning", "rendering", "scoring", "assembling", "done"]
_MOST_REPAIRS = 3
_HANDED_ON = ("job_id", "identity", "video_id", "detector_id", "voices_id", "looks_id", "portraits")
_IF_KNOWN = ("choice", "has_begun")
"""What the tasks of a row are told of its probe."""


@dataclass(slots=True)
class Progress:
    """How far a row is. ``todo`` and ``done`` count frames of the present stage."""

    stage: Stage = "waiting"
    todo: int = 0
    done: int = 0


@dataclass(slots=True)
class Tally:
    """What a row cost."""

    chunks: int = 0
    chunks_reused: int = 0
    chunks_rendered: int = 0
    scans: int = 0
    frames_rendered: int = 0


class Flow(Protocol):
    """What is to be done for a row, step by step."""

    @property
    def progress(self) -> Progress:
        """How far it is."""
        ...

    @property
    def tally(self) -> Tally:
        """What it cost."""
        ...

    @property
    def share(self) -> str:
        """Whose part of the workers it takes."""
        ...

    @property
    def job_id(self) -> str:
        """Names its records; empty before they are known."""
        ...

    @property
    def result(self) -> Json | None:
        """Set once the row is done."""
        ...

    def start(self) -> list[Task]:
        """Return the first task."""
        ...

    def advance(self, task: Task, result: Json) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        ...

    def is_past(self, task: Task) -> bool:
        """Tell whether the row does not wait for a task any more."""
        ...

    def without_lips(self, task: Task) -> list[Task]:
        """Return what takes the place of a task that was given up, nothing where it has none."""
        ...

    def after_loss(self, task: Task, code: str, message: str) -> list[Task] | None:
        """Return how the row goes on though a task was given up; None where it cannot."""
        ...


@dataclass(slots=True)
class RowFlow:
    """Drives a row from probe to published file.

    Attributes:
        row: The row's line in the manifest.
        priority: Higher goes first.
        turn: Rows that are begun together have the same; lower goes first.
        share: Whose part of the workers the row takes.
        base: Payload of every task: the job's record, its weights, the scratch folder.
        gate: What the video must be like to pass.
        attempt: Which attempt at the row this is.
        is_held: The video is weighed once it is rendered and scored, and waits for `publish`.
    """

    row: int
    priority: int
    turn: int
    share: str
    base: Json
    gate: Gate = field(default_factory=Gate)
    attempt: int = 0
    is_held: bool = False
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    job_id: str = ""
    result: Json | None = None
    """Set once the row is done."""
    weighed: Json | None = None
    """What the video is like, while it is held."""
    is_publishing: bool = False
    _extra: Json = field(default_factory=dict[str, Any])
    """What the task that publishes it is told besides."""
    _probe: Json = field(default_factory=dict[str, Any])
    _open: set[str] = field(default_factory=set[str])
    _compare: dict[Kind, list[list[int]]] = field(default_factory=dict[Kind, list[list[int]]])
    """Stretches in which faces are compared with the sound, and looked at."""
    _found_missing: bool = False
    _segments_missing: set[int] = field(default_factory=set[int])
    _rendered: set[int] = field(default_factory=set[int])  # chunks that nobody can have scored
    _unscored: set[int] = field(default_factory=set[int])
    """Chunks whose scoring was given up."""
    _chunks: list[list[int]] = field(default_factory=list[list[int]])
    _repairs: int = 0
    _frames: int | None = None
    _probed: Json = field(default_factory=dict[str, Any])
    """What the latest probe gave."""
    _tried: int = 0
    """Ways to do the job that turned out not to be possible."""

    def start(self) -> list[Task]:
        """Return the row's first task."""
        self.progress.stage = "probing"
        return [self._task("probe", f"probe:{self._name}", {})]

    @property
    def _name(self) -> str:
        return f"{self.row}~{self.attempt}" if self.attempt else str(self.row)

    def advance(self, task: Task, result: Json) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        self._open.discard(task.id)
        self.progress.done += task.frames
        alone: dict[Kind, Callable[[Json], list[Task]]] = {
            "probe": self._after_probe,
            "check": lambda _: self._begin(self._probed),
            "plan": self._after_plan,
            "score": self._after_score,
            "weigh": self._after_assembly,
            "assemble": self._after_assembly,
        }
        if task.kind in alone:
            return alone[task.kind](result)
        self._found_missing |= "missing" in result
        if task.kind == "scan":
            self.tally.scans += 1
        elif task.kind in ("transcribe", "sound"):
            self._extra = {**self._extra, **result}
        elif task.kind == "render":
            self.tally.chunks_rendered += not result["reused"]
            self._rendered.update([] if result["reused"] else [task.payload["chunk"]])
            self.tally.chunks_reused += bool(result["reused"])
            self.tally.frames_rendered += 0 if result["reused"] else task.frames
        if self._open:
            return []
        if self.progress.stage == "scanning":
            return self._compares() or [self._plan()]
        return self._after_comparing(result) if self.progress.stage == "comparing" else self._ends()

    def _task(self, kind: Kind, task_id: str, extra: Json, *, frames: int = 0, chunk: int = 0) -> Task:
        self._open.add(task_id)
        payload = {**self.base, **self._probe, **extra}
        place = rank(kind, self.priority, self.turn, self.row, chunk, frames=self._frames)
        is_of_the_way = kind in ("check", "render") and "choice" in self._probe
        needs = choice_in(self._probe["choice"]).needs if is_of_the_way else frozenset[str]()
        return Task(task_id, kind, payload, frames, place, self.job_id, self.share, needs)

    def _after_probe(self, result: Json) -> list[Task]:
        self.job_id = result["job_id"]
        if result["published"] is not None:
            self.tally.chunks = self.tally.chunks_reused = int(result["published"].get("chunks", 0))
            return self._finish({**result["published"], "reused": True})
        self._probed = result
        self._probe = {key: result[key] for key in (*_HANDED_ON, *_IF_KNOWN) if key not in _IF_KNOWN or key in result}
        self._frames = int(result["frames"])
        if result.get("check"):
            return [self._task("check", f"check:{self.job_id}", {})]
        return self._begin(result)

    def _begin(self, result: Json) -> list[Task]:
        self._compare = {"listen": result["listen"], "recognise": result["recognise"]}
        todo: list[list[int]] = result["scan"]
        self.progress.stage = "scanning"
        first = self._looks("scan", result["detector_id"], todo)
        first += [
            self._task("recognise", f"recognise:{image_id}/{result['looks_id']}", {"portrait": [address, image_id]})
            for address, image_id in result["to_look_at"].items()
        ]
        return first or self._compares() or [self._plan()]

    def _compares(self) -> list[Task]:
        """Return the tasks that find out who speaks, and who is like a portrait."""
        ids: dict[Kind, str] = {"listen": self._probe["voices_id"], "recognise": self._probe["looks_id"]}
        tasks = [task for kind, todo in self._compare.items() for task in self._looks(kind, ids[kind], todo)]
        if tasks:
            self.progress.stage = "comparing"
            self.progress.todo, self.progress.done = sum(task.frames for task in tasks), 0
        return tasks

    def _looks(self, kind: Kind, record_id: str, todo: list[list[int]]) -> list[Task]:
        """Return a task for each stretch of the source: its number, start and stop."""
        self.progress.todo, self.progress.done = sum(stop - start for _, start, stop in todo), 0
        return [
            self._task(
                kind,
                f"{kind}:{self._probe['video_id']}/{record_id}/{number}",
                {"chunk": number, "start": start, "stop": stop, "is_missing": True},
                frames=stop - start,
                chunk=number,
            )
            for number, start, stop in todo
        ]

    def _plan(self) -> Task:
        self.progress.stage = "planning"
        return self._task("plan", f"plan:{self.job_id}", {})

    def _after_comparing(self, result: Json) -> list[Task]:
        return self._look_again(result) if self._found_missing else [self._plan()]

    def _look_again(self, result: Json) -> list[Task]:
        """Return the task that finds out which records of scanning and comparing have to be made again."""
        self._found_missing = False
        self._repairs += 1
        if self._repairs > _MOST_REPAIRS:
            message = result.get("missing", "records of its video must stay whole in the state")
            return self._finish({"status": "failed", "code": "scans_damaged", "message": message})
        self.progress.stage = "probing"
        return [self._task("probe", f"probe:{self._name}/{self._repairs}", {})]

    def _after_plan(self, result: Json) -> list[Task]:
        if "missing" in result:
            return self._look_again(result)
        chunks: list[list[int]] = result["chunks"]
        done = set(result["done"])
        self.tally.chunks = len(chunks)
        self._frames = chunks[-1][1]
        self.tally.chunks_reused = len(done)
        tasks = self._renders([(number, span) for number, span in enumerate(chunks) if number not in done])
        self._chunks = chunks
        self.progress.stage = "rendering"
        self.progress.todo, self.progress.done = chunks[-1][1], sum(chunks[n][1] - chunks[n][0] for n in done)
        if self.base["job"]["language"] == AUTO:
            tasks.append(self._task("transcribe", f"transcribe:{self.job_id}", {}))
        return [*tasks, self._task("sound", f"sound:{self.job_id}", {})] if tasks else self._ends()

    def _renders(self, chunks: list[tuple[int, list[int]]]) -> list[Task]:
        return [
            self._task(
                "render", f"render:{self.job_id}/{n}", {"chunk": n, "is_missing": True}, frames=stop - start, chunk=n
            )
            for n, (start, stop) in chunks
        ]

    def without_lips(self, task: Task) -> list[Task]:
        """Return what takes the place of a render task that was given up: its original frames."""
        if task.kind != "render" or task.payload.get("original"):
            return []
        self._open.discard(task.id)
        extra = {"chunk": task.payload["chunk"], "original": True}
        return [self._task("render", f"{task.id}/original", extra, frames=task.frames, chunk=extra["chunk"])]

    def _ends(self) -> list[Task]:
        """Return what follows once all chunks are rendered."""
        if "judge" not in self.base["weights"]:
            return [self._weigh_or_assemble()]
        return self._scores([number for number in range(len(self._chunks)) if number not in self._unscored])

    def _scores(self, numbers: list[int]) -> list[Task]:
        judge = judge_id(self.base["weights"]["judge"])
        again = f"/{self._repairs}" if self._repairs else ""
        frames = {number: self._chunks[number][1] - self._chunks[number][0] for number in numbers}
        self.progress.stage = "scoring"
        self.progress.todo, self.progress.done = sum(frames.values()), 0
        return [
            self._task(
                "score",
                f"score:{self.job_id}/{judge}/{number}{again}",
                {"chunk": number, "is_missing": number in self._rendered},
                frames=frames[number],
                chunk=number,
            )
            for number in numbers
        ] or [self._weigh_or_assemble()]

    def _after_score(self, result: Json) -> list[Task]:
        self._segments_missing.update(result.get("missing", []))
        self._unscored.update(result.get("unscored", []))
        if self._open:
            return []
        missing, self._segments_missing = sorted(self._segments_missing), set()
        return self._render_again(missing) if missing else [self._weigh_or_assemble()]

    def _weigh_or_assemble(self) -> Task:
        self.progress.stage = "assembling"
        kind: Kind = "weigh" if self.is_held and not self.is_publishing else "assemble"
        extra = {"unscored": sorted(self._unscored), **self._extra}
        return self._task(kind, f"{kind}:{self.job_id}/{self._repairs}", extra)

    def publish(self, extra: Json) -> list[Task]:
        """Return what publishes a video that was held.

        Args:
            extra: What goes into its record besides.
        """
        self.is_publishing, self._extra = True, {**self._extra, **extra}
        return [self._weigh_or_assemble()]

    def settle(self, extra: Json) -> Task:
        """Return the task that records how a row ended whose video is published already."""
        self.progress.stage = "assembling"
        return self._task("settle", f"settle:{extra['best_id']}/{len(extra['attempts'])}", extra)

    def _after_assembly(self, result: Json) -> list[Task]:
        missing: list[int] = result.get("missing", [])
        unscored: list[int] = result.get("missing_scores", [])
        if unscored and not missing:
            self._repairs += 1
            if self._repairs <= _MOST_REPAIRS:
                return self._scores(unscored)
            self._unscored.update(unscored)
            return [self._weigh_or_assemble()]
        if missing:
            return self._render_again(missing)
        if self.is_held and not self.is_publishing:
            self.weighed = result
            return []
        return self._finish({**result, "reused": False})

    def _render_again(self, missing: list[int]) -> list[Task]:
        """Return tasks that make segments again which are gone or damaged."""
        self._repairs += 1
        if self._repairs > _MOST_REPAIRS:
            return self._finish(
                {
                    "status": "failed",
                    "code": "segments_damaged",
                    "message": f"job {self.job_id}: segments must stay whole in the state, got damaged chunks "
                    f"{missing} again and again. Check the disk.",
                }
            )
        chunks = self._chunks
        self.tally.chunks_reused = max(0, self.tally.chunks_reused - len(missing))
        self.progress.stage = "rendering"
        self.progress.todo, self.progress.done = sum(chunks[n][1] - chunks[n][0] for n in missing), 0
        return self._renders([(number, chunks[number]) for number in missing])

    def _finish(self, result: Json) -> list[Task]:
        self.progress.stage = "done"
        self.progress.done = self.progress.todo
        told = self.base["job"]
        if result.get("reused"):  # the row may say something else by now
            language = result.get("language") if told["language"] == AUTO else told["language"]
            result = {**result, "language": language, "tags": told["tags"]}
        self.result = {**result, "gate": verdict(result, self.gate)} if result["status"] == "done" else result
        return []

    def is_past(self, task: Task) -> bool:
        """Return False: the row waits for every task."""
        del task
        return False

    def after_loss(self, task: Task, code: str, message: str) -> list[Task] | None:
        """Go on with the next way to do the job where no worker can do it this way; None where there is none.

        Without one of its other tasks a row cannot go on.
        """
        del message
        known = choice_in(self._probe["choice"]) if "choice" in self._probe else None
        rest = [one for one in self.base.get("choices", []) if known is None or not choice_in(one).same(known)]
        is_refused = (task.kind == "check" and code == ENCODER_REFUSED) or code == NO_WORKER_CAN
        if not is_refused or not rest:
            return None
        self.base, self._probe, self._open = {**self.base, "choices": rest}, {}, set()
        self._tried += 1
        self.progress.stage = "probing"
        return [self._task("probe", f"probe:{self._name}/way{self._tried}", {})]
