"""The life of one row as a state machine: which tasks come next. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lipwise_ray.media.encode import ENCODER_REFUSED
from lipwise_ray.nets.runtimes import RUNTIME_REFUSED
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.dubbing.task_parts import Attempts, Probed, RenderedSegment, Repairs
from lipwise_ray.pipeline.flows.audio_tasks import audio_task
from lipwise_ray.pipeline.flows.row_tasks import MOST_REPAIRS, chunk_of
from lipwise_ray.pipeline.flows.spoken_rows import SpokenRowTasks
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    BESIDE_RENDERING,
    CHECK,
    HEAR,
    LISTEN,
    PLAN,
    PROBE,
    RECOGNISE,
    RENDER,
    SCAN,
    SCORE,
    SETTLE,
    WEIGH,
    AssemblePayload,
    AssembleResult,
    CheckPayload,
    CheckResult,
    HearPayload,
    ListenPayload,
    ListenResult,
    PlanPayload,
    PlanResult,
    ProbePayload,
    ProbeResult,
    RecognisePayload,
    RecogniseResult,
    RenderPayload,
    RenderResult,
    ScanPayload,
    ScanResult,
    ScorePayload,
    ScoreResult,
    SeparateResult,
    SettlePayload,
    SoundResult,
    SpeakResult,
    ToDo,
    TranscribeResult,
    WeighPayload,
    WeighResult,
)
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.pipeline.manifest.row_table import AUTO
from lipwise_ray.pipeline.quality.gate import verdict
from lipwise_ray.pipeline.quality.sync_scores import score_needs, score_records_id
from lipwise_ray.roles.audio_encoder import AUDIO_ENCODER
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.scheduler.slot_choice import NO_WORKER_CAN
from lipwise_ray.scheduler.task import OUTSIDE, Failure, Task, TaskResult
from lipwise_ray.state.job_result import DubResult, VideoMeasures
from lipwise_ray.values import Span


@dataclass(slots=True)
class RowFlow(SpokenRowTasks[DubResult]):
    """Drives a row from probe to published file.

    Attributes:
        attempt: Number of this attempt at the row.
        is_held: The video is measured once it is rendered and scored, and waits for `publish`.
        shows_originals: A chunk that cannot be rendered shows its original frames instead of failing the row.
    """

    attempt: int = 0
    is_held: bool = False
    shows_originals: bool = False
    measured: VideoMeasures | None = None
    """Measures of the video, while it is held."""
    is_publishing: bool = False
    _to_do: ToDo | None = None
    """Findings of the latest probe; None before it has any."""
    _language: str | None = None
    _sound: str = ""
    _history: Attempts = field(default_factory=Attempts)
    _segments_missing: set[int] = field(default_factory=set[int])
    _rendered: dict[int, RenderedSegment | None] = field(default_factory=dict[int, RenderedSegment | None])
    """Segments by chunk that this run made: nobody can have scored them."""
    _unscored: set[int] = field(default_factory=set[int])
    """Chunks whose scoring was given up."""
    _chunks: tuple[Span, ...] = ()
    _tried: int = 0
    """Ways to do the job that turned out not to be possible."""

    def start(self) -> list[Task]:
        """Return the row's first task."""
        return self._speech() or [self._probe("")]

    def _probe(self, again: str) -> Task:
        self._enter("probing")
        attempt = f"~{self.attempt}" if self.attempt else ""
        return self._task(PROBE, f"{self.row}{attempt}{again}", ProbePayload(self.base))

    @property
    def _probed(self) -> Probed:
        assert self._to_do is not None  # only the probe is told nothing of it
        return self._to_do.probed

    @property
    def _choice(self) -> Choice | None:
        return self._to_do.probed.choice if self._to_do else None

    @property
    def _needs(self) -> frozenset[str]:
        """Capabilities that a worker that encodes must have."""
        return self._choice.needs if self._choice else frozenset()

    def advance(self, task: Task, result: TaskResult) -> list[Task]:
        """Take a finished task and return the tasks that can follow."""
        self._take(task, result)
        match result:
            case SpeakResult() | ProbeResult():
                return self._after_probe(result)
            case CheckResult() | SeparateResult():
                return self._begin() if task.kind is CHECK else [self._audio(is_separated=True)]
            case PlanResult():
                return self._after_plan(result)
            case ScoreResult():
                return self._after_score(result.missing)
            case WeighResult() | AssembleResult():
                return self._after_last(result)
            case _:
                self._note(task, result)
                return self._after_stage()

    def _note(self, task: Task, result: TaskResult) -> None:
        """Keep what a task gave that nothing follows by itself."""
        match result:
            case ScanResult():
                self.tally.scans += 1
            case ListenResult() | RecogniseResult():
                self._missing = result.missing or self._missing
            case SoundResult():
                self._sound = result.sound
            case TranscribeResult():
                self._language = result.language
            case RenderResult():
                self._count(task, result)
            case _ if task.kind is not HEAR and task.kind not in BESIDE_RENDERING:
                raise TypeError(f"{task.id}: {type(result).__name__} is not a result of a row's task")
            case _:
                pass  # the state has what the task made

    def _after_stage(self) -> list[Task]:
        """Return the tasks that follow once nothing of a stage is left."""
        if self._open:
            return []
        if self._is_at("scanning"):
            return self._comparisons() or [self._plan()]
        if self._is_at("comparing"):
            return self._probe_again(self._missing) if self._missing else [self._plan()]
        return self._scores_or_end()

    def _count(self, task: Task, result: RenderResult) -> None:
        if result.reused:
            self.tally.chunks_reused += 1
            return
        self.tally.chunks_rendered += 1
        self.tally.frames_rendered += task.frames
        self._rendered[chunk_of(task)] = result.segment

    def _after_probe(self, result: SpeakResult | ProbeResult) -> list[Task]:
        if isinstance(result, SpeakResult):
            self._take_speech(result)
            return [self._probe(self._again)]
        self.job_id, self.inputs = result.job_id, result.inputs
        if result.published is not None:
            self.tally.chunks = self.tally.chunks_reused = result.published.chunks
            return self._finish(result.published, is_reused=True)
        assert result.to_do is not None  # one of the two is known
        self._to_do, self._frames = result.to_do, result.to_do.frames
        job, looked = self.base.job, self._to_do.looked
        if job.window is not None:
            self.base = replace(self.base, job=replace(job, window=replace(job.window, looked=looked)))
        if self._to_do.needs_check:
            return [self._task(CHECK, self.job_id, CheckPayload(self.base, self._probed), needs=self._needs)]
        return self._begin()

    def _begin(self) -> list[Task]:
        assert self._to_do is not None  # it was probed
        base, probed = self.base, self._probed
        self._enter("scanning")
        record = f"{probed.video_id}/{probed.detector_id}"
        first = self._tasks_of(SCAN, record, self._to_do.scan, lambda piece: ScanPayload(base, probed, piece))
        if AUDIO_ENCODER.name in base.weights:
            first.append(self._task(HEAR, self.job_id, HearPayload(base, probed)))
        first += [
            self._task(
                RECOGNISE,
                f"{image_id}/{probed.looks_id}",
                RecognisePayload(base, probed, portrait=(address, image_id)),
            )
            for address, image_id in self._to_do.portraits.items()
        ]
        return first or self._comparisons() or [self._plan()]

    def _comparisons(self) -> list[Task]:
        """Return the tasks that find out who speaks, and who is like a portrait."""
        assert self._to_do is not None  # it was probed
        base, probed, video_id = self.base, self._probed, self._probed.video_id
        tasks = self._tasks_of(
            LISTEN,
            f"{video_id}/{probed.voices_id}",
            self._to_do.listen,
            lambda piece: ListenPayload(base, probed, piece),
        )
        tasks += self._tasks_of(
            RECOGNISE,
            f"{video_id}/{probed.looks_id}",
            self._to_do.recognise,
            lambda piece: RecognisePayload(base, probed, piece),
        )
        if tasks:
            self._enter("comparing")
            self._expect(sum(task.frames for task in tasks))
        return tasks

    def _plan(self) -> Task:
        self._enter("planning")
        payload = PlanPayload(self.base, self._probed)
        return self._task(PLAN, self.job_id, payload, is_missing=not self._probed.has_begun)

    def _probe_again(self, missing: str) -> list[Task]:
        """Return the task that finds out which records of scanning and comparing have to be made again."""
        return [self._probe(f"/{self._repairs}")] if self._may_repair("scans_damaged", missing) else []

    def _after_plan(self, result: PlanResult) -> list[Task]:
        if result.missing:
            return self._probe_again(result.missing)
        self._chunks, done = result.chunks, set(result.done)
        self.tally.chunks, self.tally.chunks_reused = len(self._chunks), len(done)
        self._frames = self._chunks[-1].stop
        tasks = self._renders([number for number in range(len(self._chunks)) if number not in done])
        self._enter("rendering")
        there = sum(len(self._chunks[number]) for number in done)
        left_out = there if self.base.job.window is not None else 0
        self._expect(self._frames - left_out, there - left_out)
        base, probed = self.base, self._probed
        beside = [kind for kind, has in BESIDE_RENDERING.items() if has(base.job)]
        tasks += [self._task(kind, self.job_id, kind.payload(base, probed)) for kind in beside]
        return [*tasks, self._audio()] if tasks or base.job.background == KEEP else self._scores_or_end()

    def _audio(self, *, is_separated: bool = False) -> Task:
        kind, name, payload = audio_task(self.base, self._probed, is_separated=is_separated)
        return self._task(kind, name, payload, is_missing=not self._probed.has_begun)

    def _renders(self, numbers: Sequence[int]) -> list[Task]:
        payloads = [RenderPayload(self.base, self._probed, number) for number in numbers]
        return [self._render(one, f"{one.chunk}", len(self._chunks[one.chunk]), is_missing=True) for one in payloads]

    def _render(self, payload: RenderPayload, name: str, frames: int, *, is_missing: bool = False) -> Task:
        name, chunk, needs = f"{self.job_id}/{name}", payload.chunk, self._needs
        return self._task(RENDER, name, payload, frames=frames, chunk=chunk, needs=needs, is_missing=is_missing)

    def _scores_or_end(self) -> list[Task]:
        """Return the tasks that follow once all chunks are rendered."""
        left = [number for number in range(len(self._chunks)) if number not in self._unscored]
        return self._scores(left) if JUDGE.name in self.base.weights else [self._last()]

    def _scores(self, numbers: Sequence[int]) -> list[Task]:
        scorer, again = score_records_id(self.base, self._choice), f"/{self._repairs}" if self._repairs else ""
        of_windows = {n: tuple(filter(None, map(self._rendered.get, (n, n + 1)))) for n in numbers}  # some end in n + 1
        self._enter("scoring")
        self._expect(sum(len(self._chunks[number]) for number in numbers))
        return [
            self._task(
                SCORE,
                f"{self.job_id}/{scorer}/{number}{again}",
                ScorePayload(self.base, self._probed, number, of_windows[number]),
                frames=len(self._chunks[number]),
                chunk=number,
                needs=score_needs(self.base, self._choice),
                is_missing=number in self._rendered,
            )
            for number in numbers
        ] or [self._last()]

    def _after_score(self, missing: Sequence[int]) -> list[Task]:
        self._segments_missing.update(missing)
        if self._open:
            return []
        gone, self._segments_missing = sorted(self._segments_missing), set()
        return self._render_again(gone) if gone else [self._last()]

    def _last(self) -> Task:
        """Return the task that publishes the video, or measures it while it is held."""
        self._enter("assembling")
        name, unscored = f"{self.job_id}/{self._repairs}", tuple(sorted(self._unscored))
        if self.is_held and not self.is_publishing:
            return self._task(WEIGH, name, WeighPayload(self.base, self._probed, unscored))
        made = AssemblePayload(self.base, self._probed, unscored, self._language, self._sound, self._history)
        return self._task(ASSEMBLE, name, made)

    def publish(self, history: Attempts) -> list[Task]:
        """Return the tasks that publish a video that was held, with the attempts for its record."""
        self.is_publishing, self._history = True, history
        return [self._last()]

    def settle(self, history: Attempts, best_id: str) -> Task:
        """Return the task that records how a row ended whose video is published already.

        Args:
            history: Records of the row's attempts.
            best_id: Job of the attempt that is published.
        """
        self._enter("assembling")
        payload = SettlePayload(self.base, history, best_id)
        return self._task(SETTLE, f"{best_id}/{len(history.attempts)}", payload)

    def _after_last(self, result: WeighResult | AssembleResult) -> list[Task]:
        if result.repairs:
            return self._repair(result.repairs)
        if isinstance(result, AssembleResult):
            return self._finish(result.published)
        assert result.measures is not None  # nothing had to be made again
        self.measured = result.measures
        return []

    def _repair(self, repairs: Repairs) -> list[Task]:
        """Return the tasks that render missing chunks again."""
        if repairs.render:
            return self._render_again(repairs.render)
        self._repairs += 1
        if self._repairs <= MOST_REPAIRS:
            return self._scores(repairs.score)
        self._unscored.update(repairs.score)
        return [self._last()]

    def _render_again(self, numbers: Sequence[int]) -> list[Task]:
        """Return tasks that make segments again which are gone or damaged."""
        message = (
            f"job {self.job_id}: the segments of chunks {list(numbers)} were lost or damaged in the state again and "
            "again. Check the disk of the state."
        )
        if not self._may_repair("segments_damaged", message):
            return []
        self.tally.chunks_reused = max(0, self.tally.chunks_reused - len(numbers))
        self._enter("rendering")
        self._expect(sum(len(self._chunks[number]) for number in numbers))
        return self._renders(numbers)

    def _finish(self, result: DubResult | None, *, is_reused: bool = False) -> list[Task]:
        assert result is not None  # nothing had to be made again
        job = self.base.job
        if is_reused:  # the row may say something else by now
            language = result.language if job.language == AUTO else job.language
            result = replace(result, language=language, tags=job.tags)
        self._end(replace(result, reused=is_reused, gate=verdict(result, self.gate)))
        return []

    def on_failure(self, task: Task, failure: Failure) -> list[Task] | None:
        """Go on without what can be done without, with original frames, or by the next way to do the job."""
        if task.kind.optional and failure.blame not in {"setup", *OUTSIDE}:
            return self._without(task)
        if self.shows_originals and failure.blame not in {"input", "setup", *OUTSIDE}:
            instead = self._original(task)
            if instead is not None:
                return [instead]
        return self._speak_again(failure) if failure.blame in OUTSIDE else self._next_way(task, failure.code)

    def _without(self, task: Task) -> list[Task]:
        """Return the tasks that follow one whose result is not needed."""
        self._take(task)
        if task.kind is not SCORE:
            return self._after_stage()
        self._unscored.add(chunk_of(task))
        return self._after_score(())

    def _original(self, task: Task) -> Task | None:
        """Return the tasks that put the original frames in place of a chunk that was given up."""
        payload = task.payload
        if not isinstance(payload, RenderPayload) or payload.original:
            return None
        self._open.discard(task.id)
        return self._render(replace(payload, original=True), f"{payload.chunk}/original", task.frames)

    def _next_way(self, task: Task, code: str) -> list[Task] | None:
        """Return the first task of the next way to do the job, where no worker can do it this way; None without one."""
        known = self._choice
        rest = tuple(one for one in self.base.choices if known is None or not one.same(known))
        is_refused = (task.kind is CHECK and code == ENCODER_REFUSED) or code in (NO_WORKER_CAN, RUNTIME_REFUSED)
        if not is_refused or not rest:
            return None
        self.base, self._to_do, self._open = replace(self.base, choices=rest), None, set()
        self._tried += 1
        return [self._probe(f"/way{self._tried}")]
