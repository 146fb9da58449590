"""Context of a task in its worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.voice_activity import SpeechDetector
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.planner import Planner
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, RowPayload
from lipwise_ray.pipeline.dubbing.trim import left_out_s
from lipwise_ray.pipeline.dubbing.watermarked import SoundWatermark
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.roles.audio_encoder import AUDIO_ENCODER, encoder_id
from lipwise_ray.roles.vad import VAD
from lipwise_ray.roles.watermark import WATERMARK, WATERMARK_DETECTOR
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import PIPELINE_VERSION, record_id
from lipwise_ray.state.store import Store
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.threads import ThreadBudget
from lipwise_ray.values import F32Array


@dataclass(frozen=True, slots=True)
class TaskContext:
    """State, models and settings that a task has at hand in its worker.

    Attributes:
        store: The state.
        scratch: Folder for temporary files.
        media: Opens the row's inputs.
        models: The worker's.
        planner: Knows where faces are.
        threads: The worker's, by what they are for.
        on_frame: Called after each frame.
        on_block: Called now and then while something else moves: a large file that is read, say.
    """

    store: Store
    scratch: Path
    media: Media
    models: Models
    planner: Planner
    threads: ThreadBudget
    on_frame: Callable[[], None]
    on_block: Callable[[], None]

    def models_for(self, payload: RowPayload, hints: Hints) -> ModelRequest:
        """Return the request for a task's models."""
        return ModelRequest(payload.spec.settings, payload.row.weights, hints.batch_halvings)

    def open(self, payload: JobPayload) -> JobContext:
        """Open a job whose inputs have been probed."""
        return self.open_video(payload, payload.probed.video_id)

    def open_video(self, payload: RowPayload, video_id: str) -> JobContext:
        """Open a job whose video is known. What it uses of it is counted from the first frame of what was fetched."""
        spec, seconds = payload.spec, payload.spec.used_seconds
        video = self.video(spec.settings, spec.video, video_id, seconds)
        zero_s = self.media.zero_s(spec.video, video_id, seconds)
        spec = spec.after(left_out_s(video.index, zero_s))
        detector, encoder = self._speech_detector(payload), self._audio_encoder(payload)
        marks = self._watermark(payload)
        return JobContext(spec, self.store, self.media, video, detector, marks, encoder)

    def _audio_encoder(self, payload: RowPayload) -> AudioEncoder | None:
        """Return the encoder that the lip-sync network hears with, loaded on its first use; None for the mel."""
        checkpoint = payload.row.weights.one(AUDIO_ENCODER.name)
        if checkpoint is None:
            return None
        request = ModelRequest(payload.spec.settings, payload.row.weights)

        def write(wave_f32: F32Array, target: Path, gain: float, on_block: Callable[[], None]) -> None:
            self.models.needed(AUDIO_ENCODER, request).write(wave_f32, target, gain=gain, on_block=on_block)

        return AudioEncoder(encoder_id(payload.spec.settings, checkpoint), write)

    def _speech_detector(self, payload: RowPayload) -> SpeechDetector | None:
        """Return the detector of speech, loaded on its first use; None where pauses go by the audio's level."""
        checkpoint, request = (
            payload.row.weights.one(VAD.name),
            ModelRequest(payload.spec.settings, payload.row.weights),
        )
        if checkpoint is None:
            return None

        def detect(wave_f32: F32Array, on_block: Callable[[], None]) -> F32Array:
            return self.models.needed(VAD, request)(wave_f32, on_block)

        return SpeechDetector(record_id({"pipeline": PIPELINE_VERSION, VAD.name: checkpoint.sha256}), detect)

    def _watermark(self, payload: RowPayload) -> SoundWatermark | None:
        """Return the networks that mark the row's new audio; None where none is asked for."""
        weights, request = payload.row.weights, ModelRequest(payload.spec.settings, payload.row.weights)
        checkpoint = weights.one(WATERMARK.name)
        if checkpoint is None:
            return None
        reads = WATERMARK_DETECTOR.name in weights
        return SoundWatermark(
            checkpoint.name,
            lambda: self.models.needed(WATERMARK, request),
            (lambda: self.models.needed(WATERMARK_DETECTOR, request)) if reads else None,
        )

    def video(
        self, settings: Settings, address: str, video_id: str, seconds: UsedSeconds | None = None
    ) -> records.Video:
        """Open a video as settings say, as far as it is used."""
        return records.open_video(
            self.store,
            self.scratch,
            self.media.local(address, video_id, seconds),
            video_id,
            salvage=settings.source.salvage,
            limits=settings.limits,
            rate=Fraction(settings.source.still_rate),
            choice=split_choice(address)[1],
        )
