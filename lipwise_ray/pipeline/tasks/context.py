"""What a task has at hand in its worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.planner import Planner
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, RowPayload
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.tasks.models import ModelRequest, Models
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state.store import Store


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a task has at hand in its worker.

    Attributes:
        store: The state.
        scratch: Folder for temporary files.
        media: Opens the row's inputs.
        models: The worker's.
        planner: Knows where faces are.
        threads: Of decoders and encoders.
        on_frame: Called after each frame.
        on_block: Called now and then while something else moves: a large file that is read, say.
    """

    store: Store
    scratch: Path
    media: Media
    models: Models
    planner: Planner
    threads: int
    on_frame: Callable[[], None]
    on_block: Callable[[], None]

    def models_for(self, payload: RowPayload, hints: Hints) -> ModelRequest:
        """Return what a task asks of the models."""
        return ModelRequest(payload.spec.settings, payload.row.weights, hints.batch_halvings)

    def open(self, payload: JobPayload) -> JobContext:
        """Open a job whose inputs have been probed."""
        return self.open_video(payload.spec, payload.probed.video_id)

    def open_video(self, spec: JobSpec, video_id: str) -> JobContext:
        """Open a job whose video is known."""
        settings, salvage = spec.settings, spec.settings.source.on_error == "salvage"
        file, rate = self.media.local(spec.video, video_id), Fraction(settings.source.still_rate)
        video = records.open_video(
            self.store, self.scratch, file, video_id, salvage=salvage, limits=settings.limits, rate=rate
        )
        return JobContext(spec, self.store, self.media, video, salvage)
