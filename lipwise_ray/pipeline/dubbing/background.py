"""A job's background: what is mixed under its voice, and what of it counts in the job's id."""

from __future__ import annotations

import numpy as np

from lipwise_ray.errors import AudioError, SettingsError
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.voice_activity import runs
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.separated import own_stream
from lipwise_ray.pipeline.dubbing.spoken import spoken_columns
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.background import KEEP, background_file
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import Identity
from lipwise_ray.storage.stream_choice import split_choice


def check_mixable(settings: Settings, background: str | None) -> None:
    """Refuse a background whose mix could not be encoded.

    Raises:
        SettingsError: The audio is to be copied.
    """
    if background is not None and settings.encode.audio.codec == "copy":
        raise SettingsError(
            "background_copied",
            "encode.audio.codec = copy",
            got="a row has a background, and mixed audio cannot be copied",
            do='Use encode.audio.codec = "auto"',
        )


def background_identity(job: JobSpec, media: Media) -> Identity:
    """Return the part that a job's background has in its identity; nothing where it has none.

    Raises:
        InputError: It may not be read, or is not there.
    """
    if job.background is None:
        return {}
    file, mixing = background_file(job.background), job.settings.mix
    return {
        "background": {
            "audio": media.identity(file) if file else job.background,
            "gain_db": mixing.background_gain_db,
            "duck_db": mixing.duck_db,
        }
    }


def check_background(job: JobContext, identity: Identity) -> None:
    """Look at a background before any work.

    Args:
        job: The job.
        identity: Facts that decide its result.

    Raises:
        AudioError: It has no audio.
        MediaError: It cannot be opened, or is too long.
        SettingsError: Its mix could not be encoded.
    """
    settings, file = job.spec.settings, background_file(job.spec.background)
    check_mixable(settings, job.spec.background)
    if job.spec.background == KEEP:
        own_stream(job)
    if file is None:
        return
    try:
        local = job.media.local(file, identity["background"]["audio"])
        probe_audio(local, settings.limits, split_choice(file)[1])
    except AudioError as error:
        do = 'Set "background" to a file with an audio stream'
        raise AudioError(error.code, error.where, got=error.happened, do=do) from error


def speech_of(job: JobContext, sounds: Sounds, audio_id: str) -> list[tuple[float, float]]:
    """Return ``[start, stop)`` in seconds of the stretches of the delivered voice in which somebody speaks.

    Args:
        job: The job.
        sounds: Its sounds, which have been opened.
        audio_id: Record of the voice.
    """
    if job.spec.audio is None:
        masks = [spoken_columns(job, line) for line in sounds.lines()]
    else:
        min_pause_s = job.spec.settings.lipsync.min_pause_s
        masks = [records.voices(job.store, audio_id, min_pause_s, salvage=job.salvage, speech=job.speech)]
    spoken = np.zeros(max(map(len, masks)), np.bool_)
    for mask in masks:
        spoken[: len(mask)] |= mask
    return [(start / MEL_RATE_HZ, stop / MEL_RATE_HZ) for start, stop in runs(spoken).tolist()]
