"""Workers that do what a script says, on a clock that only waiting for them moves: a thousand take no machine.

What they answer is what real ones do for rows of so many chunks, so that the driver, its dispatcher, ledger and row
table are at work as ever.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.pipeline.delivery.outputs import FileOutput
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.flows.task_kinds import (
    ASSEMBLE,
    PLAN,
    PROBE,
    RECHECK,
    RENDER,
    AssembleResult,
    PlanResult,
    ProbeResult,
    RenderResult,
    SoundResult,
    ToDo,
)
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.pipeline.inputs.stamps import stamp
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.scheduler.engine import Outcome, WorkerSlot
from lipwise_ray.scheduler.task import ALL_LANES, Lane, Task, TaskResult
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.shapes import WorkerMemory
from lipwise_ray.values import Json, Span

CHUNK_FRAMES = 250
_SECONDS = {"probe": 1.0, "recheck": 1.0, "plan": 0.5, "sound": 1.0, "render": 10.0, "assemble": 3.0}
_TOGETHER_S = 0.1
"""What ends within so long is told together, as an engine's poll does while its driver is busy."""
_WORKERS_A_NODE = 8
_SHA256 = "0" * 64


@dataclass
class Marks:
    """What a driver had used, by wall and by processor, when its engine first heard of it.

    Attributes:
        began: Workers were asked to begin: manifest, settings and checkpoints are known.
        leased: The first task came.
        rendered: The first chunk came.
        tasks: Tasks done.
        rendered_chunks: Chunks among them.
        done_rows: Rows among them that ended with a video.
    """

    began: tuple[float, float] | None = None
    leased: tuple[float, float] | None = None
    rendered: tuple[float, float] | None = None
    tasks: int = 0
    rendered_chunks: int = 0
    done_rows: int = 0


def now() -> tuple[float, float]:
    """Return seconds by the wall and of this process's processors."""
    return time.perf_counter(), time.process_time()


@dataclass
class ScriptedWorkers:
    """An engine of render workers, and a quarter as many for the other lane.

    Attributes:
        config: The product's; where the state is matters to nobody here.
        render_slots: Render workers.
        chunks: Chunks of each row.
        is_done: Tells of a row's id whether its video was published before.
        marks: Is filled in.
    """

    config: WorkerConfig
    render_slots: int
    chunks: int
    is_done: Callable[[str], bool]
    marks: Marks
    device: str = "cpu"
    loading: int = 0
    unreported: int = 0
    gpu_bytes: int = 0
    capabilities: list[RenderCapabilities] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    memory: list[WorkerMemory] = field(default_factory=list)
    clock_s: float = 0.0
    _idle: dict[Lane, dict[str, WorkerSlot]] = field(default_factory=dict)
    _ends: list[tuple[float, int, WorkerSlot, Task]] = field(default_factory=list)
    _calls: count = field(default_factory=count)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  # no secret: durations

    def __post_init__(self) -> None:
        for lane in ALL_LANES:
            workers = self.render_slots if lane == "gpu" else max(1, self.render_slots // 4)
            slots = (WorkerSlot(f"{lane}{n}", lane, f"node{n // _WORKERS_A_NODE}") for n in range(workers))
            self._idle[lane] = {slot.worker: slot for slot in slots}
        self._media = media_of(Settings(), cache_of(self.config.paths))
        self._worker = Worker(self.config)

    @property
    def description(self) -> str:
        return f"{self.render_slots} scripted workers"

    def start(self, prepare: list[Json], stop: Callable[[], bool] = lambda: False) -> None:
        self.marks.began = now()

    def want(self, backlog: Mapping[Lane, int]) -> None: ...
    def kill(self, worker: str) -> None: ...
    def close(self) -> None: ...

    def renew(self, worker: str) -> bool:
        return False

    def frames_done(self) -> dict[str, int]:
        return {}

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        return list(self._idle[lane].values())

    def submit(self, worker: str, task: Task) -> None:
        self.marks.leased = self.marks.leased or now()
        if task.kind is RENDER:
            self.marks.rendered = self.marks.rendered or now()
        slot = self._idle[task.lane].pop(worker)
        seconds = _SECONDS[task.kind.name] * self._chance.uniform(0.8, 1.2)
        heapq.heappush(self._ends, (self.clock_s + seconds, next(self._calls), slot, task))

    def poll(self, timeout_s: float) -> list[Outcome]:
        self.clock_s = max(self.clock_s, self._ends[0][0])
        outcomes: list[Outcome] = []
        while self._ends and self._ends[0][0] <= self.clock_s + _TOGETHER_S:
            _, _, slot, task = heapq.heappop(self._ends)
            self._idle[slot.lane][slot.worker] = slot
            is_scripted = task.kind is not RECHECK  # for which all is done that a worker does
            result = self._answer(task) if is_scripted else self._worker.run(RECHECK, task.payload, task.hints)
            outcomes.append(Outcome(slot, task, result, None))
        self.marks.tasks += len(outcomes)
        return outcomes

    def _answer(self, task: Task) -> TaskResult:
        job = task.payload.row.job
        job_id = f"j-{job.row_id}"
        frames = self.chunks * CHUNK_FRAMES
        if task.kind is RENDER:
            self.marks.rendered_chunks += 1
            return RenderResult(frames=CHUNK_FRAMES)
        if task.kind is PLAN:
            return PlanResult(chunks=tuple(Span(n * CHUNK_FRAMES, (n + 1) * CHUNK_FRAMES) for n in range(self.chunks)))
        if task.kind is ASSEMBLE:
            self.marks.done_rows += 1
            return AssembleResult(published=published(job.row_id, job.output_address, self.chunks))
        if task.kind is not PROBE:
            return SoundResult(copied=True)
        inputs = tuple(stamp(self._media, address) for address in (job.video, job.audio))
        if self.is_done(job.row_id):
            done = published(job.row_id, job.output_address, self.chunks)
            return ProbeResult(job_id=job_id, published=done, inputs=inputs)
        probed = Probed(job_id, {"tracks": None}, "v", "d", choice=task.payload.choice)
        return ProbeResult(job_id=job_id, to_do=ToDo(probed=probed, frames=frames), inputs=inputs)


def published(row_id: str, output: str, chunks: int) -> DubResult:
    """Return the result of a row whose output is an empty file, which is made.

    Args:
        row_id: The row.
        output: Path of its output.
        chunks: Its chunks.
    """
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).touch()
    frames = chunks * CHUNK_FRAMES
    return DubResult(
        job_id=f"j-{row_id}",
        output=output,
        frames=frames,
        chunks=chunks,
        bytes_total=0,
        sha256=_SHA256,
        video_s=frames / 25,
        audio_s=frames / 25,
        seen=FileOutput(Path(output)).seen(),
    )
