"""Windows of what faces say: of the mel, or of an encoder's states, as the lip-sync network hears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lipwise_ray.lipsync.audio_features import MEL, AudioFeature
from lipwise_ray.lipsync.state_windows import state_window
from lipwise_ray.lipsync.windows import timed_starts, window
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.encoded_audio import open_states
from lipwise_ray.state import layout
from lipwise_ray.values import F32Array


class HeardWindows:
    """Windows of a job's audio, by its frames.

    Args:
        job: The job.
        plan: Its plan, of the whole output.
        feature: What the lip-sync network hears.

    Raises:
        StorageError: A record of the audio is gone.
    """

    def __init__(self, job: JobContext, plan: Plan, feature: AudioFeature) -> None:
        self._plan = plan
        self._feature = feature
        self._mels = [
            records.open_columns(job.store, layout.mel(part.sound_id, salvage=job.salvage)) for part in plan.parts
        ]
        if feature is MEL:
            return
        assert job.encoder is not None  # jobs of networks that hear states have one
        self._encoded = [
            open_states(job.store, part.sound_id, job.encoder.id, salvage=job.salvage) for part in plan.parts
        ]
        timeline, offset_ms = plan.timeline, job.spec.settings.lipsync.audio_offset_ms
        self._steps = timed_starts(timeline.pts, timeline.time_base, offset_ms, feature.rate_hz)

    def of(self, number: int, parts: Sequence[int]) -> F32Array:
        """Return the window of audio that a face gets in an output frame.

        Args:
            number: Number of the frame.
            parts: Parts of the plan that the face says.
        """
        # All but one of the things that a face says are silent: the loudest is what it says now.
        start = int(self._plan.mel_start[number])
        if self._feature is MEL or len(parts) > 1:
            mels = [window(self._mels[part], start, self._plan.parts[part].pauses) for part in parts]
            if self._feature is MEL:
                return np.asarray(np.max(mels, axis=0), np.float32)
            parts = [parts[int(np.argmax([mel.sum() for mel in mels]))]]
        (part,) = parts
        encoded, step = self._encoded[part], int(self._steps[number])
        return state_window(encoded.states, encoded.silence, step, self._feature, self._plan.parts[part].pauses)
