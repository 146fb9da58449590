"""Delivery of a job's audio: copied, or encoded once while chunks are rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lipwise_ray.errors import SettingsError, StorageError
from lipwise_ray.media.excerpt import write_excerpt
from lipwise_ray.media.join import container_for
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.soundtrack import LOSSLESS, SoundtrackPlan, copy_impossible, plan_soundtrack, write_soundtrack
from lipwise_ray.pipeline.delivery.marked_sound import mark_sound, watermark_record
from lipwise_ray.pipeline.delivery.mixed_sound import MixedSound, is_mixed
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.separated import shown_edits
from lipwise_ray.pipeline.dubbing.shown_part import begin_s, shown_plan
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.settings.execution import WIDEST_LIMITS
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.store import to_json
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file


@dataclass(frozen=True, slots=True)
class DeliveredSound:
    """Audio to deliver, as a file that holds it.

    Attributes:
        plan: Copy or encoding of its packets.
        info: The stream of the file from which it is copied or encoded.
        key: The file's key in the state where it has just been put there; else empty.
    """

    plan: SoundtrackPlan
    info: AudioInfo
    key: str = ""


def prepare_sounds(
    job: JobContext,
    scratch: Path,
    probed: Probed,
    plan: Plan,
    known_key: str = "",
    *,
    is_missing: bool = False,
    on_block: Callable[[], None] = lambda: None,
) -> list[DeliveredSound]:
    """Return the audio to deliver, the one that the lips follow first: copied packets, or an encoder's file.

    What has to be encoded is encoded once, while chunks are rendered: it takes minutes for a film. Further soundtracks
    are made as long as the first.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        probed: Findings of the row's probe, which name the job.
        plan: The job's.
        known_key: The key of the first one's file, where somebody has just put it; empty where it has to be looked for.
        is_missing: Nobody can have made any yet, so that they need not be looked for.
        on_block: Called now and then while audio is mixed.
    """
    sounds, prepared = Sounds(job, scratch, probed.job_id, probed.identity, on_block), list[DeliveredSound]()
    for track, one in enumerate([sounds, *sounds.beside()]):
        soundtrack = _Soundtrack(one, scratch, probed, track, on_block)
        prepared.append(soundtrack.prepared(plan, "" if track else known_key, is_missing=is_missing))
    return prepared


@dataclass(frozen=True, slots=True)
class _Soundtrack:
    """Audio that becomes a stream of the output: the ``track``-th, from 0."""

    sounds: Sounds
    scratch: Path
    probed: Probed
    track: int
    on_block: Callable[[], None]

    def prepared(self, plan: Plan, known_key: str, *, is_missing: bool) -> DeliveredSound:
        """Return it as a file, which is made where the state has none."""
        job, audio = self.sounds.job, self.sounds.file()
        name, encode = Path(job.spec.output), job.spec.settings.encode.audio
        delivered, codec = container_for(name), sound_codec(job.spec.settings, audio.info)
        length_s = shown_plan(job.spec.window, plan).audio_s
        planned = plan_soundtrack(audio.info, audio.sound, delivered, codec, encode.bitrate, length_s)
        if is_mixed(job.spec) or job.spec.window is not None or job.watermark is not None:
            planned = replace(planned, copy=False)
        if planned.copy and planned.codec in LOSSLESS:
            return DeliveredSound(planned, audio.info)
        folder, suffix = layout.soundtrack(self.probed.job_id, self.track), name.suffix.lower()
        folders = {copied: f"{folder}/{'copied' if copied else 'encoded'}" for copied in (True, False)}
        for copied in (True, False) if planned.copy else (False,):
            kept = None if is_missing else whole_file(job.store, folders[copied], known_key)
            if kept is not None:
                return DeliveredSound(replace(planned, copy=copied), probe_audio(kept, WIDEST_LIMITS))
        with scratch_file(self.scratch, f"track{suffix}") as temporary:
            wrote = self._written(temporary, planned, audio, plan)
            if encode.codec == "copy" and not wrote.copy:
                raise copy_impossible(audio.info, delivered, "its packets decode otherwise in there")
            key = f"{folders[wrote.copy]}/{sha256_of(temporary)}{suffix}"
            job.store.put_file(key, temporary)
        kept = job.store.fetch(key)
        if kept is None:
            raise StorageError(
                "no_sound",
                folder,
                got="the audio for the output is missing from the state",
                do="Run the same command again",
            )
        return DeliveredSound(wrote, probe_audio(kept, WIDEST_LIMITS), key)

    def _written(self, target: Path, planned: SoundtrackPlan, audio: records.Audio, plan: Plan) -> SoundtrackPlan:
        """Write it, with its mark where it gets one, and return the plan by which that was done."""
        job = self.sounds.job
        if job.watermark is None:
            return self._finished(target, planned, audio, plan)
        with scratch_file(self.scratch, "marked.mka") as temporary:
            marked = mark_sound(job, job.watermark, audio, temporary, self.on_block)
            wrote = self._finished(target, planned, replace(audio, info=marked.info), plan)
        if not self.track:  # the result tells of the first
            record = watermark_record(job, job.watermark, marked, target, self.on_block)
            job.store.write(layout.watermark(self.probed.job_id), to_json(record_of(record)))
        return wrote

    def _finished(self, target: Path, planned: SoundtrackPlan, audio: records.Audio, plan: Plan) -> SoundtrackPlan:
        """Write all that is to be heard, and return the plan by which that was done."""
        job = self.sounds.job
        if job.spec.window is not None:
            self._write_window(target, planned, audio, plan, job.spec.window)
        elif is_mixed(job.spec):
            self._mix(target, planned, audio, plan)
        else:
            return write_soundtrack(target, audio.info, planned, salvage=job.salvage)
        return planned

    def _mix(self, target: Path, planned: SoundtrackPlan, audio: records.Audio, plan: Plan) -> None:
        job, identity = self.sounds.job, self.probed.identity
        edits = shown_edits(job, plan) if job.spec.background == KEEP else ()
        mixed = MixedSound(job, self.scratch, identity, self.sounds, audio, plan.audio_s, edits, self.on_block)
        record = mixed.write(target, planned)
        if not self.track:  # the result tells of the first
            job.store.write(layout.mixed(self.probed.job_id), to_json(record_of(record)))

    def _write_window(
        self, target: Path, planned: SoundtrackPlan, audio: records.Audio, plan: Plan, window: OutputWindow
    ) -> None:
        """Write the part of the audio that a window lets one hear: of a mix, what the whole one has there."""
        job = self.sounds.job
        with scratch_file(self.scratch, "whole.mkv") as whole, scratch_file(self.scratch, "window.mka") as part:
            info = audio.info
            if is_mixed(job.spec):
                self._mix(
                    whole,
                    SoundtrackPlan(copy=False, codec="flac", bitrate=0, duration_s=plan.audio_s, bits=24),
                    audio,
                    plan,
                )
                info = probe_audio(whole, WIDEST_LIMITS)
            start_s, length_s = begin_s(window, plan), planned.duration_s
            cut = write_excerpt(info, part, start_s, length_s, salvage=job.salvage, on_block=self.on_block)
            write_soundtrack(target, cut, planned)


def sound_codec(settings: Settings, info: AudioInfo) -> str:
    """Return the codec of a job's audio, as `encode.audio.codec` names it.

    Raises:
        SettingsError: It is not what `encode.deliver` asks for.
    """
    encode = settings.encode
    codec = encode.audio.codec
    if encode.deliver != "compatible":
        return codec
    if codec not in ("auto", "aac") and (codec, info.codec) != ("copy", "aac"):
        raise SettingsError(
            "not_compatible",
            f"encode.deliver = compatible with encode.audio.codec = {codec}",
            got=f"the audio would be {info.codec if codec == 'copy' else codec}",
            must="a compatible file has AAC",
            do='Set encode.audio.codec = "auto", or encode.deliver = "source"',
        )
    return "aac" if codec == "auto" and info.codec != "aac" else codec
