"""Planning a job in its worker: who is where and who is who, which sounds pause; and the plan that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext, JobSpec
from lipwise_ray.dubbing.listening import Voices
from lipwise_ray.dubbing.plan import Facts, PartFacts, Plan, make_plan
from lipwise_ray.dubbing.recognising import Looks
from lipwise_ray.dubbing.scanning import crop_rules, linked
from lipwise_ray.dubbing.sounds import Lines, Sounds
from lipwise_ray.dubbing.stretch import stretch_of
from lipwise_ray.errors import FaceError, SegmentError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.select import (
    BOX,
    LIKE,
    SPEAKING,
    Chosen,
    Likeness,
    Selection,
    choose,
    choose_tracks,
    fixed_box,
)
from lipwise_ray.faces.tracks import Tracks, read_tracks, smooth
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.speech import voiced
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.settings import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.values import BoolArray, Json

Loaded = TypeVar("Loaded")


def recipe_of(settings: Settings, video: inputs.Video) -> FrameRecipe:
    """Return what a job does to every frame of its video first."""
    source = settings.source
    return make_recipe(
        video.info,
        video.index.sizes,
        resize_factor=source.resize_factor,
        crop=source.crop,
        turn=source.rotate,
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

    def own_sound(self, job: JobSpec, video: inputs.Video) -> inputs.Audio | None:
        """Return the sound that was filmed with a job's video, or None where there is none that can be used."""
        salvage = job.settings.source.on_error == "salvage"
        if video.info.sound_start_s is None:
            return None
        return inputs.own_audio(self._store, self._scratch, video, salvage=salvage, limits=job.settings.limits)

    def plan(self, job: JobContext, payload: Json) -> Plan:
        """Make a job's plan and keep it.

        Raises:
            InputError: The job cannot be done as it stands.
            SegmentError: What scanning or listening found is gone.
        """
        lipsync = job.spec.settings.lipsync
        sounds = Sounds(job, self._scratch, payload["job_id"], payload["identity"])
        audio, lines = sounds.delivered(), sounds.lines()
        chosen, tracks = self._choose(job, payload, [one.rule for one in lines])
        pauses = lipsync.silence != "off"
        own = self.own_sound(job.spec, job.video) if lipsync.silence == "original" else None
        facts = Facts(
            index=job.video.index,
            is_still=job.video.is_still,
            lead_s=inputs.lead_s(job.video.info),
            audio_s=audio.sound.duration_s,
            mel_columns=audio.mel_columns,
            parts=tuple(
                PartFacts(
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
            own_voiced=inputs.voices(self._store, own.mel_key, lipsync.min_pause_s) if own else None,
        )
        plan = make_plan(facts, chosen, job.spec.settings)
        job_id = payload["job_id"]
        with inputs.scratch_file(self._scratch, "plan.npz") as temporary:
            plan.save(temporary)
            self._store.put_file(layout.plan_arrays(job_id), temporary)
        record = {**plan.summary(), "job_id": job_id, "identity": payload["identity"]}
        key, data = layout.plan(job_id), to_json(record)
        # Every attempt makes the same plan: what is there and differs was damaged by a crash of the machine.
        if not self._store.create(key, data) and self._store.read(key) != data:
            self._store.write(key, data)
        return plan

    def _voiced(self, job: JobContext, lines: Lines) -> BoolArray:
        """Return which columns of what a face says hold speech.

        Each sound is looked at by itself: the silence between them is no background that belongs to one.
        """
        mel = inputs.open_columns(self._store, layout.mel(lines.sound_id, salvage=job.salvage))
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
        self, job: JobContext, payload: Json, rules: Sequence[Selection]
    ) -> tuple[Chosen, list[tuple[int, ...]]]:
        """Return the faces to dub, and the track numbers that each rule chooses."""
        settings, frames = job.spec.settings, len(job.video.index)
        shown = recipe_of(settings, job.video).canvas.shown_size
        boxes = {place: rule for place, rule in enumerate(rules) if rule.kind == BOX}
        numbers: dict[int, tuple[int, ...]] = {place: (-1 - place,) for place in boxes}
        found = [fixed_box(rule, frames, shown, -1 - place) for place, rule in boxes.items()]
        if len(boxes) < len(rules):
            tracks = self.tracks(job, payload)
            others = {
                place: tuple(choose_tracks(tracks, rule, self._likeness(job, payload, rule)))
                for place, rule in enumerate(rules)
                if place not in boxes
            }
            crops = crop_rules(settings, job.video.index.mean_rate)
            found.append(choose(tracks, sorted({*chain.from_iterable(others.values())}), crops))
            numbers |= others
        return Chosen.joined(found), [numbers[place] for place in range(len(rules))]

    def tracks(self, job: JobContext, payload: Json) -> Tracks:
        """Return the row's own tracks or those that were found, smoothed as its settings say."""
        settings, shown = job.spec.settings, recipe_of(job.spec.settings, job.video).canvas.shown_size
        if job.spec.tracks is not None:
            tracks = read_tracks(job.media.local(job.spec.tracks, payload["identity"]["tracks"]))
            if tracks.frames != len(job.video.index) or tracks.size != shown:
                raise FaceError(
                    "other_tracks",
                    job.spec.tracks,
                    f"must be of a video of {len(job.video.index)} frames of {shown.width}x{shown.height}",
                    f"{tracks.frames} frames of {tracks.size.width}x{tracks.size.height}",
                    "Export the tracks of this video, with the same source settings",
                )
        else:
            tracks = self._found_tracks(job, payload)
        if settings.faces.smoothing == "reference":
            return tracks
        return smooth(tracks, round(settings.faces.smooth_s * float(job.video.index.mean_rate) / 2))

    def _found_tracks(self, job: JobContext, payload: Json) -> Tracks:
        video_id, detector_id = payload["video_id"], payload["detector_id"]
        settings, stretch = job.spec.settings, stretch_of(job)
        record = layout.tracks(video_id, detector_id, stretch.part)
        known = load_file(self._store, record, Tracks.load)
        if known is not None:
            return known
        rate = float(job.video.index.mean_rate)
        keys = [layout.scan_chunk(video_id, detector_id, number) for number, _ in stretch.numbered]
        parts = [part for key in keys if (part := load_file(self._store, key, Detections.load)) is not None]
        found = Detections.joined(parts) if len(parts) == len(keys) else None
        if found is None or len(found.change) != len(stretch.span):
            raise SegmentError(
                "scan_missing", video_id, f"must be scanned in {len(keys)} chunks", f"{len(parts)}", "Run again"
            )
        whole = found.within(stretch.span.start, stretch.frames)
        tracks = linked(whole, recipe_of(settings, job.video).canvas.shown_size, rate, settings)
        with inputs.scratch_file(self._scratch, "tracks.npz") as temporary:
            tracks.save(temporary)
            self._store.put_file(record, temporary)
        return tracks

    def _likeness(self, job: JobContext, payload: Json, rule: Selection) -> Likeness | None:
        """Return how much speaks for a face under rules that compare faces."""
        chunks = [number for number, _ in stretch_of(job).numbered]
        video_id = payload["video_id"]
        if rule.kind == SPEAKING:
            keys = [layout.voices(video_id, payload["voices_id"], number) for number in chunks]
            return Voices.joined(self._whole(keys, Voices.load)).of
        if rule.kind != LIKE:
            return None
        looks_id, image_id = payload["looks_id"], payload["portraits"][rule.image]
        keys = [layout.looks(video_id, looks_id, number) for number in chunks]
        looks = Looks.joined(self._whole(keys, Looks.load))
        (portrait,) = self._whole([layout.portrait(image_id, looks_id)], Looks.load)
        return looks.likeness(portrait, job.spec.settings.faces.min_likeness)

    def _whole(self, keys: list[str], load: Callable[[Path], Loaded]) -> list[Loaded]:
        """Return records that earlier tasks left."""
        parts = [part for key in keys if (part := load_file(self._store, key, load)) is not None]
        if len(parts) < len(keys):
            missing = f"{len(parts)} of {len(keys)}"
            raise SegmentError("records_missing", keys[0], "must be whole, and those after it", missing, "Run again")
        return parts
