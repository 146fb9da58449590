"""Evaluating a finished video in its worker: how its lips go with its sound, and how like it is to another one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

import lipwise_ray
from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.comparing import Reference, compare_pictures
from lipwise_ray.dubbing.context import JobContext, JobSpec, open_job, spec_of
from lipwise_ray.dubbing.crops import resampled
from lipwise_ray.dubbing.identity import detector_id_of, protocol_of
from lipwise_ray.dubbing.ids import PIPELINE_VERSION, record_id
from lipwise_ray.dubbing.lips import Faces, Heard, LipWindows, compare_lips, frames_shown
from lipwise_ray.dubbing.measures import NO_FEATURES, Measured, Totals, fidelity_of, flicker_of
from lipwise_ray.dubbing.media import Media
from lipwise_ray.dubbing.models import Models
from lipwise_ray.dubbing.plan import chunk_frames
from lipwise_ray.dubbing.planning import Planner, recipe_of
from lipwise_ray.dubbing.scores import FRAMES, RATE_HZ, is_lse, score_record, scorer_record
from lipwise_ray.dubbing.speakers import detects, rules_of
from lipwise_ray.dubbing.tasks import is_surely_missing
from lipwise_ray.errors import MediaError, SegmentError
from lipwise_ray.faces.select import BOX, choose_tracks, fixed_box
from lipwise_ray.metrics.lse import SHIFTS, reduce
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import EvaluationRecord, RowRecord, checked, read_checked
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.storage.address import shown
from lipwise_ray.values import F32Array, I64Array, Json, Span, spans

_VERSION = 1
"""Raised when the same files would get other figures."""

_DIGITS = 4


class Evaluator:
    """Measures videos.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        models: The worker's.
        planner: Knows where faces are.
        threads: Of decoders.
    """

    def __init__(self, store: Store, scratch: Path, models: Models, planner: Planner, threads: int) -> None:
        self._store = store
        self._scratch = scratch
        self._models = models
        self._planner = planner
        self._threads = threads

    def examine(self, payload: Json, media: Media) -> Json:
        """Find out what a row's files are, and what earlier runs measured.

        Raises:
            InputError: A file cannot be used, or the reference is of another size.
        """
        spec = spec_of(payload)
        identity = _identity(spec, payload, media)
        job_id = record_id(identity)
        known = checked(read_checked(self._store, layout.result(job_id), RowRecord), EvaluationRecord)
        if known is not None:
            protocol = protocol_of(spec, payload["weights"], identity["tracks"])  # earlier versions kept none
            return {"job_id": job_id, "published": {**known, "output": shown(spec.video), "protocol": protocol}}
        job = open_job(self._store, media, self._scratch, {**payload, "video_id": identity["video"]})
        if payload["reference"]:
            self._reference(job, payload, identity["reference"])
        if spec.audio:
            file = media.local(spec.audio, identity["audio"])
            limits = spec.settings.limits
            inputs.open_audio(self._store, self._scratch, file, identity["audio"], salvage=job.salvage, limits=limits)
        else:
            self._planner.own_sound(spec, job.video)
        detector_id = detector_id_of(spec.settings, payload["weights"])
        video_id, pieces = job.video.id, _pieces(job)
        found = self._store.names(layout.scans(video_id, detector_id))
        is_scanned = layout.tracks(video_id, detector_id) in found
        looks = detects(rules_of((), spec.settings), spec.tracks) and not is_scanned
        return {
            "job_id": job_id,
            "identity": identity,
            "video_id": video_id,
            "detector_id": detector_id,
            "frames": len(job.video.index),
            "chunks": len(pieces),
            "scan": _absent(pieces, lambda n: layout.scan_chunk(video_id, detector_id, n), found) if looks else [],
            "measure": _absent(
                pieces, lambda n: layout.measured(job_id, n), self._store.names(layout.measures(job_id))
            ),
            "published": None,
        }

    def _reference(self, job: JobContext, payload: Json, reference_id: str) -> inputs.Video:
        """Open the video that a row's is compared with."""
        address = payload["reference"]
        file = job.media.local(address, reference_id)
        limits = job.spec.settings.limits
        salvage, settings = job.salvage, job.spec.settings
        rate = Fraction(settings.source.still_rate)
        found = inputs.open_video(
            self._store, self._scratch, file, reference_id, salvage=salvage, limits=limits, rate=rate
        )
        sizes = [recipe_of(settings, one).canvas.shown_size for one in (job.video, found)]
        if sizes[0] != sizes[1]:
            raise MediaError(
                "other_size",
                shown(address),
                f"must show pictures of {sizes[0].width}x{sizes[0].height}, as the video does, to be its reference",
                f"{sizes[1].width}x{sizes[1].height}",
                "Give both in one size",
            )
        return found

    def measure(self, payload: Json, media: Media, on_frame: Callable[[], None]) -> Json:
        """Measure a stretch of a video."""
        key = layout.measured(payload["job_id"], payload["chunk"])
        if not is_surely_missing(payload) and self._store.size(key) is not None:
            return {}
        job = open_job(self._store, media, self._scratch, payload)
        try:
            faces, landmarks = self._faces(job, payload)
        except SegmentError as error:
            return {"missing": str(error)}
        span, recipe = Span(payload["start"], payload["stop"]), recipe_of(job.spec.settings, job.video)
        at, distances = self._compare_lips(job, payload, faces, span, on_frame)
        weights, reference, squeeze = payload["weights"], None, int(payload.get("squeeze", 0))
        if payload["reference"]:
            other = self._reference(job, payload, payload["identity"]["reference"])
            reference = Reference(
                other,
                recipe_of(job.spec.settings, other),
                job.spec.settings.score.compare_hz,
                self._models.embedder(weights) if weights.get("embedder") else None,
                self._models.inception(weights, squeeze=squeeze) if weights.get("inception") else None,
            )
        alike = compare_pictures(
            job.video,
            recipe,
            faces,
            landmarks,
            span,
            reference,
            threads=self._threads,
            salvage=job.salvage,
            on_frame=on_frame,
        )
        here = faces.frame[(faces.frame >= span.start) & (faces.frame < span.stop)]
        alike.sums["with_face"] = float(len(np.unique(here)))
        features = [np.concatenate(parts) if parts else NO_FEATURES for parts in alike.features]
        with inputs.scratch_file(self._scratch, "measured.npz") as temporary:
            Measured(at, distances, alike.sums, *features).save(temporary)
            self._store.put_file(key, temporary)
        return {}

    def _faces(self, job: JobContext, payload: Json) -> tuple[Faces, F32Array]:
        """Return the faces that are judged, and their landmarks."""
        (rule,) = rules_of((), job.spec.settings)
        if rule.kind == BOX:
            size = recipe_of(job.spec.settings, job.video).canvas.shown_size
            found = fixed_box(rule, len(job.video.index), size)
            return Faces(found.frame, found.track, found.face), found.landmarks
        tracks = self._planner.tracks(job, payload)
        rows = np.flatnonzero(np.isin(tracks.track, choose_tracks(tracks, rule)))
        rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
        return Faces(tracks.frame[rows], tracks.track[rows], tracks.box[rows]), tracks.landmarks[rows]

    def _compare_lips(
        self, job: JobContext, payload: Json, faces: Faces, span: Span, on_frame: Callable[[], None]
    ) -> tuple[I64Array, F32Array]:
        sound_id = payload["identity"]["audio"] or job.video.id
        if "judge" not in payload["weights"] or self._sound_s(job, payload) is None:
            return np.zeros(0, np.int64), np.zeros((0, SHIFTS), np.float32)
        judge, index = self._models.scorer(payload["weights"], squeeze=int(payload.get("squeeze", 0))), job.video.index
        times, recipe = resampled(index), recipe_of(job.spec.settings, job.video)
        begins = np.flatnonzero((times >= span.start) & (times < span.stop))
        read = frames_shown(job.video, recipe, times, threads=self._threads, salvage=job.salvage, on_frame=on_frame)
        return compare_lips(
            LipWindows(faces, times, judge),
            begins,
            read,
            recipe.canvas.shown_size,
            judge,
            Heard.of(judge, self._store, sound_id, salvage=job.salvage),
            0.0 if payload["identity"]["audio"] else float(inputs.lead_s(job.video.info)),
        )

    def _sound_s(self, job: JobContext, payload: Json) -> Fraction | None:
        """Return how long the sound is that lips are compared with, None where there is none."""
        sound_id = payload["identity"]["audio"] or job.video.id
        found = inputs.sound_of(self._store, sound_id, salvage=job.salvage)
        return found.duration_s if found else None

    def conclude(self, payload: Json, media: Media) -> Json:
        """Return a video's figures, and keep them; or say that what stretches left is gone."""
        job = open_job(self._store, media, self._scratch, payload)
        job_id, spec = payload["job_id"], job.spec
        totals, pieces = Totals(), _pieces(job)
        for number in range(len(pieces)):
            part = load_file(self._store, layout.measured(job_id, number), Measured.load)
            if part is None:
                return {"missing": f"{layout.measured(job_id, number)} must be whole, got nothing. Run again."}
            totals.add(part)
        index, audio_s = job.video.index, self._sound_s(job, payload)
        video_s = float((index.end_pts - int(index.pts[0])) * index.time_base)
        with_face = int(totals.sums.get("with_face", 0))
        result: Json = {
            "status": "done",
            "kind": "evaluation",
            "row_id": spec.row_id,
            "job_id": job_id,
            "output": shown(spec.video),
            "frames": len(index),
            "video_s": round(video_s, _DIGITS),
            "audio_s": round(float(audio_s), _DIGITS) if audio_s is not None else None,
            "counts": {
                "frames": len(index),
                "frames_with_face": with_face,
                "frames_without_face": len(index) - with_face,
            },
            "chunks": len(pieces),
            "sync": self._sync(payload, totals, audio_s, video_s),
            "flicker": flicker_of(totals),
            "fidelity": fidelity_of(payload, totals) if payload["reference"] else None,
            "language": spec.language,
            "tags": list(spec.tags),
            "weights": payload["weights"],
            "identity": payload["identity"],
            "protocol": protocol_of(spec, payload["weights"], payload["identity"]["tracks"]),
            "version": lipwise_ray.__version__,
            "pipeline": PIPELINE_VERSION,
        }
        self._store.write(layout.result(job_id), to_json(result))
        return result

    def _sync(self, payload: Json, totals: Totals, audio_s: Fraction | None, video_s: float) -> Json:
        judge = payload["weights"].get("judge")
        found: Json = {
            **scorer_record(judge),
            "source": None,
            "before": None,
            "after": score_record(reduce(totals.total, totals.windows), lse=is_lse(judge))
            if judge and totals.windows
            else None,
            "why": {},
            "curve": totals.curve.rounded(),
        }
        if not totals.windows:
            least = (FRAMES + 1) / RATE_HZ
            reasons = (
                (judge is None, "score.judge is none"),
                (audio_s is None, "there is no sound that can be used"),
                (not totals.sums.get("with_face"), "no face is found"),
                (min(video_s, float(audio_s or 0)) < least, f"too short: a score needs {least:.2f} s"),
                (bool(totals.broken), f"the judge gave no numbers for {totals.broken} windows"),
            )
            found["why"]["after"] = next(
                (why for holds, why in reasons if holds), "no face for five frames in a row with sound"
            )
        return found


def _identity(spec: JobSpec, payload: Json, media: Media) -> Json:
    """Return what decides a video's figures."""
    settings, weights, reference = spec.settings, payload["weights"], payload["reference"]
    return {
        "evaluation": _VERSION,
        "video": media.identity(spec.video),
        "audio": media.identity(spec.audio) if spec.audio else None,
        "reference": media.identity(reference) if reference else None,
        "tracks": media.identity(spec.tracks) if spec.tracks else None,
        "detector": detector_id_of(settings, weights),
        "faces": settings.faces.model_dump(mode="json", include={"select", "smooth_s", "smoothing"}),
        "on_error": settings.source.on_error,
        "compare_hz": settings.score.compare_hz if reference else None,
        "weights": {name: (weights.get(name) or {}).get("sha256") for name in ("judge", "embedder", "inception")},
        "device": payload["device"],
    }


def _pieces(job: JobContext) -> list[Span]:
    rate = job.video.index.mean_rate
    frames = len(job.video.index)
    return spans(frames, chunk_frames(job.spec.settings, rate, frames))


def _absent(pieces: list[Span], key_of: Callable[[int], str], there: list[str]) -> list[list[int]]:
    """Return number, start and stop of the stretches whose records are not there."""
    known = set(there)
    return [[number, piece.start, piece.stop] for number, piece in enumerate(pieces) if key_of(number) not in known]
