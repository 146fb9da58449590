"""Planning a job in its worker: who is where, who speaks, which sounds pause; and the plan that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext, JobSpec
from lipwise_ray.dubbing.listening import Voices
from lipwise_ray.dubbing.plan import Facts, Plan, chunk_frames, make_plan
from lipwise_ray.dubbing.scanning import crop_rules, linked
from lipwise_ray.errors import FaceError, SegmentError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.select import SPEAKING, Chosen, Voice, choose, fixed_box, parse_selection
from lipwise_ray.faces.tracks import Tracks, read_tracks, smooth
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.settings import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.values import Json, spans


def recipe_of(settings: Settings, video: inputs.Video) -> FrameRecipe:
    """Return what a job does to every frame of its video first."""
    source = settings.source
    return make_recipe(video.info, resize_factor=source.resize_factor, crop=source.crop, turn=source.rotate)


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
        audio = job.audio(self._scratch, payload["audio_id"])
        facts = Facts(
            index=job.video.index,
            is_still=job.video.info.is_still,
            lead_s=inputs.lead_s(job.video.info),
            audio_s=audio.sound.duration_s,
            mel_columns=audio.mel_columns,
            start_s=job.spec.start_s,
            end_s=job.spec.end_s,
            **self._voices(job, audio),
        )
        plan = make_plan(facts, self._choose(job, payload), job.spec.settings)
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

    def _voices(self, job: JobContext, audio: inputs.Audio) -> dict[str, Any]:
        """Return where the new sound and the source's own hold speech, as far as the plan needs it."""
        lipsync = job.spec.settings.lipsync
        if lipsync.silence == "off":
            return {}
        found: dict[str, Any] = {"voiced": inputs.voices(self._store, audio, lipsync.min_pause_s)}
        own = self.own_sound(job.spec, job.video) if lipsync.silence == "original" else None
        if own is not None:
            found["own_voiced"] = inputs.voices(self._store, own, lipsync.min_pause_s)
        return found

    def _choose(self, job: JobContext, payload: Json) -> Chosen:
        settings = job.spec.settings
        rule = parse_selection(settings.faces.select)
        shown = recipe_of(settings, job.video).canvas.shown_size
        if rule.kind == "box":
            return fixed_box(rule, len(job.video.index), shown)
        tracks = self.tracks(job, payload)
        voice = self._voice(job, payload) if rule.kind == SPEAKING else None
        return choose(tracks, rule, crop_rules(settings, job.video.index.mean_rate), voice)

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
        known = load_file(self._store, layout.tracks(video_id, detector_id), Tracks.load)
        if known is not None:
            return known
        settings = job.spec.settings
        rate = float(job.video.index.mean_rate)
        chunks = len(spans(len(job.video.index), chunk_frames(settings, job.video.index.mean_rate)))
        keys = [layout.scan_chunk(video_id, detector_id, n) for n in range(chunks)]
        parts = [part for key in keys if (part := load_file(self._store, key, Detections.load)) is not None]
        found = Detections.joined(parts) if len(parts) == chunks else None
        if found is None or len(found.change) != len(job.video.index):
            raise SegmentError(
                "scan_missing", video_id, f"must be scanned in {chunks} chunks", f"{len(parts)}", "Run again"
            )
        tracks = linked(found, recipe_of(settings, job.video).canvas.shown_size, rate, settings)
        with inputs.scratch_file(self._scratch, "tracks.npz") as temporary:
            tracks.save(temporary)
            self._store.put_file(layout.tracks(video_id, detector_id), temporary)
        return tracks

    def _voice(self, job: JobContext, payload: Json) -> Voice:
        """Return who agrees how well with the filmed sound."""
        chunks = len(spans(len(job.video.index), chunk_frames(job.spec.settings, job.video.index.mean_rate)))
        keys = [layout.voices(payload["video_id"], payload["voices_id"], number) for number in range(chunks)]
        parts = [part for key in keys if (part := load_file(self._store, key, Voices.load)) is not None]
        if len(parts) < chunks:
            raise SegmentError(
                "voices_missing",
                payload["video_id"],
                f"must be listened to in {chunks} chunks",
                str(len(parts)),
                "Run again",
            )
        return Voices.joined(parts).of
