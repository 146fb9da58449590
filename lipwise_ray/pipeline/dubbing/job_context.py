"""A job as a worker sees it: what the row asked for, and its opened inputs."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.errors import StorageError
from lipwise_ray.lipsync.voice_activity import SpeechDetector
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.state import layout
from lipwise_ray.state.plan_record import PlanRecord
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.state.store import Store, load_file


@dataclass(frozen=True, slots=True)
class JobContext:
    """A job with its video opened; ``speech`` tells speech from pauses, which go by the audio's level without it."""

    spec: JobSpec
    store: Store
    media: Media
    video: records.Video
    speech: SpeechDetector | None = None

    @property
    def salvage(self) -> bool:
        """True where whatever decodes of damaged inputs is dubbed."""
        return self.spec.settings.source.salvage

    def reader(self, recipe: FrameRecipe, threads: int) -> VideoReader:
        """Return a reader of the source, for frames that go through a recipe."""
        info, index, deinterlace = self.video.info, self.video.index, recipe.deinterlace
        return VideoReader(
            info.path, info.stream_index, index, threads=threads, salvage=self.salvage, deinterlace=deinterlace
        )


def read_plan(store: Store, job_id: str) -> Plan:
    """Return a job's plan.

    Raises:
        StorageError: It is gone.
    """
    found = known_plan(store, job_id)
    if found is None:
        raise StorageError(
            "no_plan", layout.plan(job_id), got="missing or damaged in the state", do="Run the same command again"
        )
    return found


def known_plan(store: Store, job_id: str) -> Plan | None:
    """Return a job's plan, or None when it is missing or damaged."""
    record = read_typed(store, layout.plan(job_id), PlanRecord)
    if record is None:
        return None
    return load_file(store, layout.plan_arrays(job_id), lambda arrays: Plan.load(arrays, record))
