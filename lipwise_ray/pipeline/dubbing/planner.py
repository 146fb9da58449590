"""Planning a job in its worker: who is where and who is who, which sounds pause; and the plan that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from lipwise_ray.errors import FaceError, SegmentError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import People, find_people, present
from lipwise_ray.faces.pointed import check_looked_at
from lipwise_ray.faces.select import (
    AT,
    BOX,
    BY_PLACE,
    LIKE,
    SPEAKING,
    CropRules,
    FaceSelection,
    Likeness,
    SelectionRule,
    fixed_box,
    select_faces,
    select_tracks,
)
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.faces.tracks import Tracks, read_tracks
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.pipeline.analysis.active_speaker import SpeakerScores
from lipwise_ray.pipeline.analysis.crops import resampled
from lipwise_ray.pipeline.analysis.face_detection import crop_rules, linked
from lipwise_ray.pipeline.analysis.face_recognition import followed_people
from lipwise_ray.pipeline.analysis.speaker_activity import SpeakerActivity
from lipwise_ray.pipeline.analysis.speaker_turns import frames_of_turns, matched_speakers, speaker_turns
from lipwise_ray.pipeline.dubbing.fitting import FIT, fitted_record
from lipwise_ray.pipeline.dubbing.identity import listeners
from lipwise_ray.pipeline.dubbing.job_audio import Dialogue, Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Facts, Plan
from lipwise_ray.pipeline.dubbing.source_range import stretch_of
from lipwise_ray.pipeline.dubbing.spoken import spoken_columns
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.dubbing.undubbed import seen_by_part
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.roles.active_speaker import ACTIVE_SPEAKER
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import BoolArray, I64Array

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


def _is_sought(line: Dialogue) -> bool:
    """Tell whether the face of a line is found by whose lips move while it is said."""
    return bool(line.name) and line.rule.kind == SPEAKING


class Planner:
    """Makes plans from what earlier tasks left in the state.

    Args:
        store: The state.
        scratch: Folder for temporary files.
    """

    def __init__(self, store: Store, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch

    def own_sound(self, job: JobContext) -> records.Audio | None:
        """Return the original audio of a job's video, or None where there is none that can be used."""
        if job.video.info.sound_start_s is None:
            return None
        limits = job.spec.settings.limits
        return records.own_audio(
            self._store, self._scratch, job.video, salvage=job.salvage, limits=limits, speech=job.speech
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
        chosen, tracks, speaking, people = self._choose(job, probed, lines)
        pauses = lipsync.silence != "off"
        own = self.own_sound(job) if lipsync.silence == "original" else None
        facts = Facts(
            index=job.video.index,
            is_still=job.video.is_still,
            lead_s=records.lead_s(job.video.info),
            audio_s=audio.sound.duration_s,
            mel_columns=audio.mel_columns,
            parts=tuple(
                DialogueFacts(
                    rule=f"{one.name}={one.rule.text}" if one.name else one.rule.text,
                    tracks=numbers,
                    sound_id=one.sound_id,
                    voiced=self._spoken(job, one) if pauses or one.name else None,
                    times_s=one.times_s,
                    is_sought=_is_sought(one),
                    kind=one.rule.kind,
                )
                for one, numbers in zip(lines, tracks, strict=True)
            ),
            start_s=job.spec.start_s,
            end_s=job.spec.end_s,
            own_voiced=self._voiced(job, own.id) if own else None,
            cuts=self._cuts(job, probed, [line.rule for line in lines]),
            time_map=sounds.time_map,
            window=job.spec.window,
            people=people,
        )
        plan = make_plan(facts, chosen, job.spec.settings)
        fitted = fitted_record(job, sounds.factors, plan.timeline.duration_s, sounds.slots)
        plan = replace(plan, speaking=speaking, fitted=fitted)
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

    def _cuts(self, job: JobContext, probed: Probed, rules: Sequence[SelectionRule]) -> I64Array:
        """Return the frames with which shots begin, where they are known and frames are shown twice or left out."""
        timing = job.spec.settings.timing
        is_fitted = timing.length == FIT and timing.fit != "audio"
        if not is_fitted or all(rule.kind == BOX for rule in rules):
            return np.zeros(0, np.int64)
        return self.tracks(job, probed).shots[1:, 0]

    def _voiced(self, job: JobContext, sound_id: str) -> BoolArray:
        """Return a mask of the mel columns of a sound that hold speech."""
        min_pause_s = job.spec.settings.lipsync.min_pause_s
        return records.voices(self._store, sound_id, min_pause_s, salvage=job.salvage, speech=job.speech)

    def _spoken(self, job: JobContext, line: Dialogue) -> BoolArray:
        """Return a mask of the mel columns in which a face speaks."""
        if not line.name:
            return spoken_columns(job, line)
        columns = len(records.open_columns(self._store, layout.mel(line.sound_id, salvage=job.salvage)))
        turns = np.zeros(columns, np.bool_)
        for start_s, stop_s in line.times_s:
            turns[int(start_s * MEL_RATE_HZ) : int(stop_s * MEL_RATE_HZ) + 1] = True
        return turns if job.spec.settings.lipsync.silence == "off" else turns & self._voiced(job, line.sound_id)

    def _choose(
        self, job: JobContext, probed: Probed, lines: Sequence[Dialogue]
    ) -> tuple[FaceSelection, list[tuple[int, ...]], SpeakingRecord | None, int]:
        """Return the faces to dub, the track numbers of each line, and how surely it is known who speaks.

        The number is that of the people of the shot that has most. One who speaks is dubbed only while he does, unless
        faces are chosen by other rules too.
        """
        settings, frames, rules = job.spec.settings, len(job.video.index), [line.rule for line in lines]
        shown = recipe_of(settings, job.video).canvas.shown_size
        boxes = {place: rule for place, rule in enumerate(rules) if rule.kind == BOX}
        numbers: dict[int, tuple[int, ...]] = {place: (-1 - place,) for place in boxes}
        selections = [fixed_box(rule, frames, shown, -1 - place) for place, rule in boxes.items()]
        speaking, most = None, 0
        if len(boxes) < len(rules):
            tracks = self.tracks(job, probed)
            people = self._people(job, probed, tracks)
            has_turn: dict[int, BoolArray] = {}
            sought = {place: line for place, line in enumerate(lines) if _is_sought(line)}
            if sought:
                times = [(line.name, line.times_s) for line in sought.values()]
                activity = SpeakerActivity.joined(self._listened(job, probed, SpeakerActivity.load))
                grid, start_s = resampled(job.video.index), job.spec.start_s
                found, speaking = matched_speakers(people(BY_PLACE[0]), activity, grid, times, start_s)
                numbers |= dict(zip(sought, found, strict=True))
            for place, rule in enumerate(rules):
                if place in boxes or place in sought:
                    continue
                if rule.kind == SPEAKING and ACTIVE_SPEAKER.name in listeners(probed.identity):
                    turns, speaking = speaker_turns(
                        people(SPEAKING),
                        SpeakerActivity.joined(self._listened(job, probed, SpeakerActivity.load)),
                        resampled(job.video.index),
                        may_change=len(rules) == 1,
                    )
                    has_turn = frames_of_turns(turns, frames) if len(rules) == 1 else {}
                    numbers[place] = tuple(sorted({number for turn in turns for number in turn.person.tracks}))
                else:
                    if rule.kind == AT and job.spec.tracks is None and rule.number < frames:
                        check_looked_at(rule.text, rule.number, stretch_of(job).span)
                    likeness = self._likeness(job, probed, rule)
                    numbers[place] = tuple(select_tracks(people(rule.kind), rule, tracks, likeness))
            others = {place: picked for place, picked in numbers.items() if place not in boxes}
            crops = crop_rules(settings, job.video.index.mean_rate)
            kinds = [rules[place].kind for place in others]
            known = people(next((kind for kind in kinds if kind in BY_PLACE), kinds[0]))
            most = max((len(present(shot)) for shot in known.shots), default=0)
            selections.append(self._selected(tracks, known, rules, others, crops, has_turn))
        return FaceSelection.joined(selections), [numbers[place] for place in range(len(rules))], speaking, most

    def _people(self, job: JobContext, probed: Probed, tracks: Tracks) -> Callable[[str], People]:
        """Return a function that finds the people of a video, as rules of a kind look at them.

        Rules that go by places follow the people of the whole video where that is asked for; somebody else may speak in
        each shot; and whom a portrait shows is not guessed. A user's own tracks are all those of faces.
        """
        faces = job.spec.faces
        embeddings = self._embeddings(job, probed) if probed.looks_id else None

        @cache
        def find(kind: str) -> People:
            if kind not in (SPEAKING, LIKE):
                return followed_people(tracks, faces, embeddings)
            return find_people(tracks, faces.min_confidence, embeddings, by_elimination=kind == SPEAKING)

        return lambda kind: find(kind if kind in (SPEAKING, LIKE) else BY_PLACE[0])

    @staticmethod
    def _selected(
        tracks: Tracks,
        people: People,
        rules: Sequence[SelectionRule],
        chosen: Mapping[int, tuple[int, ...]],
        crops: CropRules,
        has_turn: Mapping[int, BoolArray],
    ) -> FaceSelection:
        """Return the faces to dub of the tracks that each rule chooses, and where their people are seen besides."""
        numbers = sorted({*chain.from_iterable(chosen.values())})
        seen, seen_part = seen_by_part(tracks, people, rules, chosen, has_turn)
        return replace(
            select_faces(tracks, numbers, crops, has_turn),
            doubtful=tracks.frame[np.isin(tracks.track, people.doubtful)],
            seen=seen,
            seen_part=seen_part,
        )

    def tracks(self, job: JobContext, probed: Probed) -> Tracks:
        """Return the row's own tracks or those that were found, smoothed as its settings say."""
        settings, canvas = job.spec.settings, recipe_of(job.spec.settings, job.video).canvas
        shown = canvas.shown_size
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
        tracks = replace(tracks, aspect=canvas.aspect)
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
        if rule.kind == SPEAKING:
            return SpeakerScores.joined(self._listened(job, probed, SpeakerScores.load)).of
        if rule.kind != LIKE:
            return None
        image_id = probed.portraits[rule.image]
        assert probed.looks_id is not None  # its faces were embedded
        (portrait,) = self._whole([layout.portrait(image_id, probed.looks_id)], FaceEmbeddings.load)
        return self._embeddings(job, probed).likeness(portrait, job.spec.settings.faces.min_likeness)

    def _listened(self, job: JobContext, probed: Probed, load: Callable[[Path], Loaded]) -> list[Loaded]:
        """Return the records by which it is found who speaks."""
        assert probed.voices_id is not None  # lips were compared
        keys = [layout.voices(probed.video_id, probed.voices_id, number) for number, _ in stretch_of(job).numbered]
        return self._whole(keys, load)

    def _embeddings(self, job: JobContext, probed: Probed) -> FaceEmbeddings:
        looks_id = probed.looks_id
        assert looks_id is not None  # faces were embedded
        keys = [layout.face_embeddings(probed.video_id, looks_id, number) for number, _ in stretch_of(job).numbered]
        return FaceEmbeddings.joined(self._whole(keys, FaceEmbeddings.load))

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
