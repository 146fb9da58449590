"""A job as a worker sees it: what the row asked for, and its opened inputs."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.errors import StorageError
from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.voice_activity import SpeechDetector
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.hardware_check import HardwareFrames
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.watermarked import SoundWatermark
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.speakers import detects, rules_of
from lipwise_ray.state import layout
from lipwise_ray.state.plan_record import PlanRecord
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.state.store import Store, load_file


@dataclass(frozen=True, slots=True)
class JobContext:
    """A job with its video opened.

    ``speech`` tells speech from pauses, which go by the audio's level without it; the lip-sync network hears the states
    of ``encoder``, and the mel without it; ``watermark`` has the networks that mark its new audio, where that is asked
    for.
    """

    spec: JobSpec
    store: Store
    media: Media
    video: records.Video
    speech: SpeechDetector | None = None
    watermark: SoundWatermark | None = None
    encoder: AudioEncoder | None = None

    @property
    def salvage(self) -> bool:
        """True where whatever decodes of damaged inputs is dubbed."""
        return self.spec.settings.source.salvage

    def reader(self, recipe: FrameRecipe, threads: int, engine: HardwareFrames | None = None) -> VideoReader:
        """Return a reader of the source, for frames that go through a recipe.

        Args:
            recipe: The recipe.
            threads: Of a decoder in software.
            engine: A video engine that may decode it, or None.
        """
        info, index = self.video.info, self.video.index
        return VideoReader(
            info.path,
            info.stream_index,
            index,
            threads=threads,
            salvage=self.salvage,
            deinterlace=recipe.deinterlace,
            hardware=engine.decoder(info, index) if engine and self._is_for_hardware(recipe) else None,
        )

    def _is_for_hardware(self, recipe: FrameRecipe) -> bool:
        """Tell whether the settings let a video engine decode the source, whose damage it would not tell."""
        spec, told = self.spec, self.spec.settings.engine.hardware_frames
        is_known_sound = told == "on" or detects(rules_of(spec.speakers, spec.settings), spec.tracks)
        return told != "off" and is_known_sound and not (self.salvage or recipe.deinterlace)


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
