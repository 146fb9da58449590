"""Planning a job in its worker: who is where and who is who, which sounds pause; and the plan that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from lipwise_ray.errors import FaceError, SegmentError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.select import (
    BOX,
    LIKE,
    SPEAKING,
    FaceSelection,
    Likeness,
    SelectionRule,
    fixed_box,
    select_faces,
    select_tracks,
)
from lipwise_ray.faces.tracks import Tracks, read_tracks, smooth
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.voice_activity import voiced
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.pipeline.analysis.active_speaker import SpeakerScores
from lipwise_ray.pipeline.analysis.face_detection import crop_rules, linked
from lipwise_ray.pipeline.analysis.face_recognition import FaceEmbeddings
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import Dialogue, Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Facts, Plan
from lipwise_ray.pipeline.dubbing.source_range import stretch_of
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import BoolArray

Loaded = TypeVar("Loaded")


def recipe_of(settings: Settings, video: records.Video) -> FrameRecipe:
    """Return the recipe that a job applies to every frame of its video first."""
    source = settings.source
    return make_recipe(
        video.info,
        video.index.sizes,
        resize_factor=source.resize_factor,
        crop=source.crop,
        rotation=source.rotate,
        deinterlace=source.deinterlace != "none",
    )


class Planner:
    """Makes plans from what earlier tasks left in the state.

    Args:
        store: The state.
        scratch: Folder for temporary files.
    """

    def __init__(self, store: Store, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch

    def own_sound(self, job: JobSpec, video: records.Video) -> records.Audio | None:
        """Return the original audio of a job's video, or None where there is none that can be used."""
        if video.info.sound_start_s is None:
            return None
        settings = job.settings
        return records.own_audio(
            self._store, self._scratch, video, salvage=settings.source.salvage, limits=settings.limits
        )

    def plan(self, job: JobContext, probed: Probed) -> Plan:
        """Make a job's plan and keep it.

        Raises:
            InputError: The job cannot be done as it stands.
            SegmentError: What scanning or listening found is gone.
        """
        lipsync = job.spec.settings.lipsync
        sounds = Sounds(job, self._scratch, probed.job_id, probed.identity)
        audio, lines = sounds.delivered(), sounds.lines()
        chosen, tracks = self._choose(job, probed, [one.rule for one in lines])
        pauses = lipsync.silence != "off"
        own = self.own_sound(job.spec, job.video) if lipsync.silence == "original" else None
        facts = Facts(
            index=job.video.index,
            is_still=job.video.is_still,
            lead_s=records.lead_s(job.video.info),
            audio_s=audio.sound.duration_s,
            mel_columns=audio.mel_columns,
            parts=tuple(
                DialogueFacts(
                    rule=one.rule.text,
                    tracks=numbers,
                    sound_id=one.sound_id,
                    voiced=self._voiced(job, one) if pauses else None,
                    times_s=one.times_s,
                )
                for one, numbers in zip(lines, tracks, strict=True)
            ),
            start_s=job.spec.start_s,
            end_s=job.spec.end_s,
            own_voiced=records.voices(self._store, own.mel_key, lipsync.min_pause_s) if own else None,
        )
        plan = make_plan(facts, chosen, job.spec.settings)
        job_id = probed.job_id
        with scratch_file(self._scratch, "plan.npz") as temporary:
            plan.save(temporary)
            self._store.put_file(layout.plan_arrays(job_id), temporary)
        record = replace(plan.record(), job_id=job_id, identity=probed.identity)
        key, data = layout.plan(job_id), to_json(record_of(record))
        # Every attempt makes the same plan: what is there and differs was damaged by a crash of the machine.
        if not self._store.create(key, data) and self._store.read(key) != data:
            self._store.write(key, data)
        return plan

    def _voiced(self, job: JobContext, lines: Dialogue) -> BoolArray:
        """Return a mask of the mel columns in which a face speaks.

        Each sound is looked at by itself: the silence between them is no background that belongs to one.
        """
        mel = records.open_columns(self._store, layout.mel(lines.sound_id, salvage=job.salvage))
        min_pause_s = job.spec.settings.lipsync.min_pause_s
        if not lines.times_s:
            return voiced(mel, min_pause_s)
        found = np.zeros(len(mel), np.bool_)
        for start_s, stop_s in lines.times_s:
            start, stop = int(start_s * MEL_RATE_HZ), min(len(mel), int(stop_s * MEL_RATE_HZ) + 1)
            if start < stop:
                found[start:stop] |= voiced(mel[start:stop], min_pause_s)
        return found

    def _choose(
        self, job: JobContext, probed: Probed, rules: Sequence[SelectionRule]
    ) -> tuple[FaceSelection, list[tuple[int, ...]]]:
        """Return the faces to dub, and the track numbers that each rule chooses."""
        settings, frames = job.spec.settings, len(job.video.index)
        shown = recipe_of(settings, job.video).canvas.shown_size
        boxes = {place: rule for place, rule in enumerate(rules) if rule.kind == BOX}
        numbers: dict[int, tuple[int, ...]] = {place: (-1 - place,) for place in boxes}
        selections = [fixed_box(rule, frames, shown, -1 - place) for place, rule in boxes.items()]
        if len(boxes) < len(rules):
            tracks = self.tracks(job, probed)
            others = {
                place: tuple(select_tracks(tracks, rule, self._likeness(job, probed, rule)))
                for place, rule in enumerate(rules)
                if place not in boxes
            }
            crops = crop_rules(settings, job.video.index.mean_rate)
            selections.append(select_faces(tracks, sorted({*chain.from_iterable(others.values())}), crops))
            numbers |= others
        return FaceSelection.joined(selections), [numbers[place] for place in range(len(rules))]

    def tracks(self, job: JobContext, probed: Probed) -> Tracks:
        """Return the row's own tracks or those that were found, smoothed as its settings say."""
        settings, shown = job.spec.settings, recipe_of(job.spec.settings, job.video).canvas.shown_size
        if job.spec.tracks is not None:
            tracks = read_tracks(job.media.local(job.spec.tracks, probed.identity["tracks"]))
            if tracks.frames != len(job.video.index) or tracks.size != shown:
                raise FaceError(
                    "other_tracks",
                    job.spec.tracks,
                    got=f"the tracks are of {tracks.frames} frames of {tracks.size.width}x{tracks.size.height}",
                    must=f"the video has {len(job.video.index)} of {shown.width}x{shown.height}",
                    do="Export the tracks of this video, with the same source settings",
                )
        else:
            tracks = self._found_tracks(job, probed)
        if settings.faces.smoothing == "reference":
            return tracks
        return smooth(tracks, round(settings.faces.smooth_s * float(job.video.index.mean_rate) / 2))

    def _found_tracks(self, job: JobContext, probed: Probed) -> Tracks:
        video_id, detector_id = probed.video_id, probed.detector_id
        settings, stretch = job.spec.settings, stretch_of(job)
        record = layout.tracks(video_id, detector_id, stretch.part)
        saved = load_file(self._store, record, Tracks.load)
        if saved is not None:
            return saved
        rate = float(job.video.index.mean_rate)
        keys = [layout.scan_chunk(video_id, detector_id, number) for number, _ in stretch.numbered]
        parts = [part for key in keys if (part := load_file(self._store, key, Detections.load)) is not None]
        detections = Detections.joined(parts) if len(parts) == len(keys) else None
        if detections is None or len(detections.change) != len(stretch.span):
            raise SegmentError(
                "scan_missing",
                video_id,
                got=f"the records of its scan are incomplete in the state ({len(parts)} of {len(keys)} chunks)",
                do="Run the same command again",
            )
        whole = detections.within(stretch.span.start, stretch.frames)
        tracks = linked(whole, recipe_of(settings, job.video).canvas.shown_size, rate, settings)
        with scratch_file(self._scratch, "tracks.npz") as temporary:
            tracks.save(temporary)
            self._store.put_file(record, temporary)
        return tracks

    def _likeness(self, job: JobContext, probed: Probed, rule: SelectionRule) -> Likeness | None:
        """Return the score of a face under rules that compare faces."""
        chunks = [number for number, _ in stretch_of(job).numbered]
        video_id = probed.video_id
        if rule.kind == SPEAKING:
            assert probed.voices_id is not None  # its lips were compared
            keys = [layout.voices(video_id, probed.voices_id, number) for number in chunks]
            return SpeakerScores.joined(self._whole(keys, SpeakerScores.load)).of
        if rule.kind != LIKE:
            return None
        looks_id, image_id = probed.looks_id, probed.portraits[rule.image]
        assert looks_id is not None  # its faces were embedded
        keys = [layout.face_embeddings(video_id, looks_id, number) for number in chunks]
        embeddings = FaceEmbeddings.joined(self._whole(keys, FaceEmbeddings.load))
        (portrait,) = self._whole([layout.portrait(image_id, looks_id)], FaceEmbeddings.load)
        return embeddings.likeness(portrait, job.spec.settings.faces.min_likeness)

    def _whole(self, keys: list[str], load: Callable[[Path], Loaded]) -> list[Loaded]:
        """Return records that earlier tasks left."""
        parts = [part for key in keys if (part := load_file(self._store, key, load)) is not None]
        if len(parts) < len(keys):
            raise SegmentError(
                "records_missing",
                keys[0],
                got=f"missing or damaged in the state, or another after it ({len(parts)} of {len(keys)} are whole)",
                do="Run the same command again",
            )
        return parts
