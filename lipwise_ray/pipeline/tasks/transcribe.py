"""Finding out which language is spoken in a job's audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.pipeline.analysis.transcription import recogniser_id
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.flows.task_kinds import TRANSCRIBE, TranscribePayload, TranscribeResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.input_records import TranscriptRecord
from lipwise_ray.state.shapes import read_typed, record_of
from lipwise_ray.state.store import to_json
from lipwise_ray.storage.scratch import scratch_file


@handles(TRANSCRIBE)
def transcribe(context: TaskContext, payload: TranscribePayload, hints: Hints) -> TranscribeResult:
    """Recognise what is said, unless the state has it, and in which language."""
    del hints  # rows of one audio share its transcript, so it is looked for
    job, probed = context.open(payload), payload.probed
    model, limits = job.spec.settings.asr.model, job.spec.settings.limits
    assert model is not None  # no row whose language is to be heard begins without
    folder = Path(model)
    audio = Sounds(job, context.scratch, probed.job_id, probed.identity).file()
    key = layout.transcript(audio.id, recogniser_id(folder), salvage=job.salvage)
    known = read_typed(context.store, key, TranscriptRecord)
    if known is None:
        with scratch_file(context.scratch, "wave.f32") as wave:
            extract_network_audio(audio.info, wave, salvage=job.salvage, limits=limits)
            recognise = context.models.recogniser(folder)
            known = recognise(np.memmap(wave, np.float32, "r"), context.on_block)
        context.store.write(key, to_json(record_of(known)))
    return TranscribeResult(language=known.language)
