"""Delivered audio that is more than the voice: a background under it, all of it at a loudness that was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.edits import Edit
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.gain_curve import bed_gain
from lipwise_ray.media.loudness import Loudness, LoudnessMeter, loudness
from lipwise_ray.media.mix import PlacedSound, stream_of, summed
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.soundtrack import SoundtrackPlan, write_soundtrack
from lipwise_ray.media.true_peaks import limited
from lipwise_ray.pipeline.dubbing.background import speech_of
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.separated import kept_background, spliced
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.manifest.background import KEEP, background_file
from lipwise_ray.settings.execution import WIDEST_LIMITS
from lipwise_ray.state.ids import Identity
from lipwise_ray.state.mixed_record import LoudnessRecord, MixedRecord
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.values import F32Array, round_half_up

_MOST_TRIES = 6
_TOLERANCE_LU = 0.05
_MARGIN_DB = 0.1  # peaks between samples are sought at four times the rate, as in BS.1770-4, which misses a little
_LEAST_CEILING_DB = -24.0  # of FFmpeg's limiter
_DIGITS = 2


def is_mixed(job: JobSpec) -> bool:
    """Tell whether a job's delivered audio is more than its voice."""
    return job.background is not None or job.settings.encode.audio.loudness_lufs is not None


@dataclass(frozen=True, slots=True)
class _Level:
    """Gain of the whole and the ceiling of its true peaks, in dB; None where nothing is limited."""

    gain_db: float
    ceiling_db: float | None


class MixedSound:
    """The mix of a job's voice and its background; streamed, never whole in memory.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        identity: Facts that decide its result.
        sounds: Its sounds.
        voice: What its speakers say, with a file.
        duration_s: Length of the mix: the background is cut there, and silent where it ends before.
        edits: Stretches of the video's own audio that the output shows, where that is the background.
        on_block: Called now and then.
    """

    def __init__(
        self,
        job: JobContext,
        scratch: Path,
        identity: Identity,
        sounds: Sounds,
        voice: records.Audio,
        duration_s: Fraction,
        edits: tuple[Edit, ...],
        on_block: Callable[[], None],
    ) -> None:
        self._job, self._scratch, self._sounds, self._voice = job, scratch, sounds, voice
        self._duration_s, self._edits, self._on_block = duration_s, edits, on_block
        file = background_file(job.spec.background)
        self._bed: AudioInfo | None = None
        if job.spec.background == KEEP:
            self._bed = probe_audio(kept_background(job, identity), WIDEST_LIMITS)
        elif file is not None:
            local = job.media.local(file, identity["background"]["audio"])
            self._bed = probe_audio(local, job.spec.settings.limits, split_choice(file)[1])
        streams = [voice.info, *([self._bed] if self._bed else [])]
        self._info = stream_of([(one.rate_hz, one.layout) for one in streams], Path("mixed.mka"))
        mixing = job.spec.settings.mix
        ducks = self._bed is not None and mixing.duck_db > 0
        self._speech_s = speech_of(job, sounds, voice.id) if ducks else []

    def write(self, target: Path, plan: SoundtrackPlan) -> MixedRecord:
        """Write the mix, encoded, and tell what became of it.

        A limiter makes a mix quieter, and lossy encoders add to its peaks: so what was encoded is measured, and made
        again where it is not what was asked for.

        Args:
            target: The file; its ending chooses the container.
            plan: Encoding by which it is delivered.

        Raises:
            AudioError: A sample is NaN or infinite.
            MediaError: A stream is damaged.
            SettingsError: The encoder does not open.
            StorageError: The disk is full.
        """
        audio = self._job.spec.settings.encode.audio
        before, sample_peak = self._measured()
        peak_db = _db(before.peak)
        level = following = self._first_level(before, sample_peak)
        after, is_limited = before, False
        for _ in range(_MOST_TRIES):
            if following is None:
                break
            level = following
            is_limited = level.ceiling_db is not None and peak_db + level.gain_db > level.ceiling_db
            self._write(target, plan, level if is_limited else replace(level, ceiling_db=None))
            after = loudness(probe_audio(target, WIDEST_LIMITS))
            following = self._corrected(level, after)
        background, mixing = self._job.spec.background, self._job.spec.settings.mix
        ducks = bool(background and mixing.duck_db)
        return MixedRecord(
            background=shown(background) if background else None,
            background_gain_db=mixing.background_gain_db if background else None,
            duck_db=mixing.duck_db if ducks else None,
            ducked_s=round(sum(stop_s - start_s for start_s, stop_s in self._speech_s), _DIGITS) if ducks else None,
            loudness_lufs=audio.loudness_lufs,
            gain_db=round(level.gain_db, _DIGITS),
            is_limited=is_limited,
            before=_record(before),
            after=_record(after),
        )

    def _first_level(self, before: Loudness, sample_peak: float) -> _Level:
        audio = self._job.spec.settings.encode.audio
        if audio.loudness_lufs is None or before.lufs is None:  # where the sum would clip, all of it is made quieter
            return _Level(-max(0.0, _db(sample_peak)), None)
        return _Level(audio.loudness_lufs - before.lufs, audio.true_peak_dbtp - _MARGIN_DB)

    def _corrected(self, level: _Level, after: Loudness) -> _Level | None:
        """Return the level by which the mix comes nearer to what was asked for; None where it is near enough."""
        audio = self._job.spec.settings.encode.audio
        if level.ceiling_db is None or audio.loudness_lufs is None or after.lufs is None:
            return None
        off_lu, over_db = audio.loudness_lufs - after.lufs, _db(after.peak) - audio.true_peak_dbtp + _MARGIN_DB / 2
        if abs(off_lu) <= _TOLERANCE_LU and over_db <= 0:
            return None
        lower_db = over_db + _MARGIN_DB if over_db > 0 else 0.0  # the encoder's part changes with the level
        return _Level(level.gain_db + off_lu, max(_LEAST_CEILING_DB, level.ceiling_db - lower_db))

    def _measured(self) -> tuple[Loudness, float]:
        """Measure the sum of voice and background; return its largest sample too."""
        meter, peak = LoudnessMeter(self._info.rate_hz, self._info.layout, with_peak=True), 0.0
        for block in self._blocks():
            meter.push(block)
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
        return meter.result(), peak

    def _write(self, target: Path, plan: SoundtrackPlan, level: _Level) -> None:
        gain, rate_hz, layout = _factor(level.gain_db), self._info.rate_hz, self._info.layout
        with scratch_file(self._scratch, "mixed.mka") as temporary:
            info = replace(self._info, path=temporary)
            if level.ceiling_db is None:
                write_flac(temporary, info, self._blocks(), peak=1 / gain)
            else:
                ceiling = _factor(level.ceiling_db)
                blocks = limited(self._blocks(), rate_hz, layout, gain=gain, ceiling=ceiling)
                write_flac(temporary, info, (np.clip(block, -1, 1) for block in blocks))
            write_soundtrack(target, info, plan)

    def _blocks(self) -> Iterator[F32Array]:
        """Yield the sum of voice and background."""
        rate_hz = self._info.rate_hz
        total = round_half_up(self._duration_s * rate_hz)
        parts = [PlacedSound(self._voice_pieces, 0, total)]
        if self._bed is not None:
            mixing = self._job.spec.settings.mix
            gain = bed_gain(rate_hz, mixing.background_gain_db, mixing.duck_db, self._speech_s)
            parts.append(PlacedSound(partial(self._bed_pieces, self._bed), 0, total, gain))
        for block in summed(parts, self._info.channels, total):
            self._on_block()
            yield block

    def _bed_pieces(self, bed: AudioInfo) -> Generator[F32Array]:
        reader = AudioReader(bed, salvage=self._job.salvage, limits=self._job.spec.settings.limits)
        blocks = reader.blocks(self._info.rate_hz, self._info.layout)
        yield from spliced(blocks, self._edits, self._info.rate_hz) if self._job.spec.background == KEEP else blocks

    def _voice_pieces(self) -> Generator[F32Array]:
        """Yield the voice in the channels of the mix: one channel goes to the centre, where there is one."""
        reader, names = AudioReader(self._voice.info, salvage=self._job.salvage), channel_names(self._info.layout)
        if self._voice.info.channels > 1 or _CENTRE not in names:
            yield from reader.blocks(self._info.rate_hz, self._info.layout)
            return
        for piece in reader.blocks(self._info.rate_hz, "mono"):
            placed = np.zeros((len(names), piece.shape[1]), np.float32)
            placed[names.index(_CENTRE)] = piece[0]
            yield placed


_CENTRE = "FC"


def _factor(db: float) -> float:
    return float(10 ** (db / 20))


def _db(peak: float | None) -> float:
    return 20 * math.log10(peak) if peak else -math.inf


def _record(found: Loudness) -> LoudnessRecord:
    return LoudnessRecord(
        lufs=None if found.lufs is None else round(found.lufs, _DIGITS),
        true_peak_dbtp=round(_db(found.peak), _DIGITS) if found.peak else None,
    )
