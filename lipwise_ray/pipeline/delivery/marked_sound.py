"""A job's new audio with a mark that nobody hears, and what becomes of the mark on the way to the output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.watermark import HiddenMark, MarkedAudio, marked_wave, write_marked
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.watermarked import SoundWatermark
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.settings.execution import WIDEST_LIMITS
from lipwise_ray.state.delivered_records import WatermarkRecord

_DIGITS = 2
_SHARE_DIGITS = 4


def mark_sound(
    job: JobContext, watermark: SoundWatermark, audio: records.Audio, target: Path, on_block: Callable[[], None]
) -> MarkedAudio:
    """Write a job's new audio with its mark, before anything is laid under it.

    Args:
        job: The job.
        watermark: Its networks.
        audio: What its speakers say, with a file.
        target: File for the marked audio.
        on_block: Called now and then.

    Raises:
        AudioError: A sample is NaN or infinite.
        MediaError: The audio is damaged.
        StorageError: The disk is full.
        WeightsError: The generator's checkpoint cannot be used.
    """
    marking = job.spec.settings.marking
    mark = HiddenMark(watermark.marker(), marking.watermark_message, marking.watermark_strength)
    return write_marked(audio.info, audio.sound.heard.mixes, target, mark, salvage=job.salvage, on_block=on_block)


def watermark_record(
    job: JobContext, watermark: SoundWatermark, marked: MarkedAudio, delivered: Path, on_block: Callable[[], None]
) -> WatermarkRecord:
    """Return the record of a mark, as the detector reads it in the delivered audio.

    Args:
        job: The job.
        watermark: Its networks.
        marked: The new audio, marked.
        delivered: File with the audio as it is delivered.
        on_block: Called now and then.

    Raises:
        WeightsError: The detector's checkpoint cannot be used.
    """
    marking = job.spec.settings.marking
    found = None
    if watermark.reader is not None:
        found = watermark.reader().detect(marked_wave(probe_audio(delivered, WIDEST_LIMITS)), on_block)
    return WatermarkRecord(
        by=watermark.name,
        message=marking.watermark_message,
        strength=marking.watermark_strength,
        snr_db=None if marked.snr_db is None else round(marked.snr_db, _DIGITS),
        found=found and round(found.share, _SHARE_DIGITS),
        found_message=found and found.message,
    )
