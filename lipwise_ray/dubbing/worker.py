"""What a worker does: one task after another, with models that stay loaded."""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.assembly import assemble, prepare_sound, sweep_segments
from lipwise_ray.dubbing.context import JobContext, JobSpec, known_plan, open_job, read_plan, spec_of
from lipwise_ray.dubbing.ids import PIPELINE_VERSION, record_id
from lipwise_ray.dubbing.media import cache_of, media_of
from lipwise_ray.dubbing.models import Models
from lipwise_ray.dubbing.outputs import output_at
from lipwise_ray.dubbing.plan import Facts, Plan, chunk_frames, detects, make_plan
from lipwise_ray.dubbing.rendering import encode_spec, render_chunk
from lipwise_ray.dubbing.scanning import crop_rules, linked, scan
from lipwise_ray.dubbing.tasks import Kind
from lipwise_ray.errors import FaceError, LipwiseError, SegmentError
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.select import Chosen, choose, fixed_box, parse_selection
from lipwise_ray.faces.tracks import Tracks, smooth
from lipwise_ray.media.encode import check_encoder
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.join import container_for
from lipwise_ray.media.soundtrack import plan_soundtrack
from lipwise_ray.settings import Detect, Paths, Settings
from lipwise_ray.state import layout
from lipwise_ray.state.markers import commit, read_marker
from lipwise_ray.state.store import load_file, open_store, read_json, to_json
from lipwise_ray.values import Json, Span, spans

_TICK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What every worker of a run is told.

    ``device`` is ``cpu`` or ``cuda``; ``threads`` is the share of the cores on a CPU; ``paths`` says where
    copies of what lies elsewhere are kept.
    """

    state: str
    scratch: str
    device: str
    threads: int
    paths: Paths = field(default_factory=Paths)


class Worker:
    """Runs tasks. One at a time; `frames_done` may be read from another thread."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._cache = cache_of(config.paths)
        self._store = open_store(config.state, self._cache)
        self._scratch = Path(config.scratch)
        self._models = Models(config.device, config.threads)
        self._known_kinds: set[Kind] = set()
        self._ticked_s = 0.0
        self.frames_done = 0
        """Frames finished since the worker began: stands still when nothing moves."""
        self._kinds: dict[Kind, Callable[[Json], Json]] = {
            "probe": self._probe,
            "scan": self._scan,
            "plan": self._plan,
            "sound": self._sound,
            "render": self._render,
            "assemble": self._assemble,
        }

    def prepare(self, jobs: list[Json]) -> Json:
        """Load the models that these jobs (settings and weights) need.

        Raises:
            SetupError: A model cannot be loaded.
        """
        for job in jobs:
            settings = Settings.model_validate_json(job["settings"])
            self._models.lipsync(settings, job["weights"])
            self._models.restorer(settings, job["weights"])
            self._models.upscaler(settings, job["weights"])
            if job["weights"].get("detector"):
                self._models.detector(settings, job["weights"])
        return {"load_s": self._models.load_s}

    def run(self, kind: Kind, payload: Json) -> Json:
        """Do one task and return a small record."""
        self._media = media_of(spec_of(payload).settings, self._cache, self._tick_slowly)
        try:
            return self._kinds[kind](payload)
        except (MemoryError, RuntimeError):  # torch's out of memory is one
            self._models.trim()
            raise
        except LipwiseError as error:
            raise self._media.named(error) from error
        finally:
            # Decoders and frames hang in reference cycles whose size Python cannot see: without
            # this, memory would grow from chunk to chunk.
            gc.collect()
            if kind not in self._known_kinds:
                # What libraries keep for good need not be looked through after every task: that takes 0.1 s.
                self._known_kinds.add(kind)
                gc.freeze()

    def _tick(self) -> None:
        self.frames_done += 1

    def _tick_slowly(self) -> None:
        """Show that something moves which is not a frame: a download, a check."""
        now = time.monotonic()
        if now - self._ticked_s > _TICK_EVERY_S:
            self._ticked_s = now
            self._tick()

    # probe: what the inputs are, and how far earlier runs came -------------------------------

    def _probe(self, payload: Json) -> Json:
        job = spec_of(payload)
        identity = self._identity(job, payload)
        job_id = record_id(identity)
        published = self._published(job_id, job)
        if published is not None:
            return {"job_id": job_id, "published": published}
        salvage, limits = job.settings.source.on_error == "salvage", job.settings.limits
        video_id, audio_id = identity["video"], identity["audio"]
        audio_file = self._media.local(job.audio, audio_id)
        audio = inputs.open_audio(self._store, self._scratch, audio_file, audio_id, salvage=salvage, limits=limits)
        video_file = self._media.local(job.video, video_id)
        video = inputs.open_video(self._store, self._scratch, video_file, video_id, salvage=salvage, limits=limits)
        self._check_early(job, video, audio)
        detector_id = self._detector_id(job.settings, payload["weights"])
        chunk = chunk_frames(job.settings, video.index.mean_rate)
        pieces = spans(len(video.index), chunk) if detects(job.settings, job.tracks) else []
        if pieces and self._store.size(layout.tracks(video.id, detector_id)) is not None:
            pieces = []
        todo = [
            [number, piece.start, piece.stop]
            for number, piece in enumerate(pieces)
            if self._store.size(layout.scan_chunk(video.id, detector_id, number)) is None
        ]
        return {
            "job_id": job_id,
            "identity": identity,
            "video_id": video.id,
            "audio_id": audio.id,
            "detector_id": detector_id,
            "frames": len(video.index),
            "scan": todo,
            "published": None,
        }

    def _identity(self, job: JobSpec, payload: Json) -> Json:
        """Return what decides a job's result."""
        needs_scan = detects(job.settings, job.tracks)
        decisive = job.settings.identity()
        if not needs_scan:
            del decisive["detect"]
        return {
            "pipeline": PIPELINE_VERSION,
            "video": self._media.identity(job.video),
            "audio": self._media.identity(job.audio),
            "tracks": self._media.identity(job.tracks) if job.tracks else None,
            "start_s": job.start_s,
            "end_s": job.end_s,
            "settings": decisive,
            "device": payload["device"],
            "weights": {
                **{
                    name: (payload["weights"].get(name) or {}).get("sha256")
                    for name in ("lipsync", "restorer", "upscaler")
                },
                "detector": self._detector_id(job.settings, payload["weights"]) if needs_scan else None,
            },
            "output": job.output,
        }

    def _check_early(self, job: JobSpec, video: inputs.Video, audio: inputs.Audio) -> None:
        """Find out before any work what would only fail at its end."""
        output_at(job.output_address, self._scratch).check()
        spec = encode_spec(job.settings, job.output, _recipe(job.settings, video), video, self._config.threads)
        if not spec.codec.endswith("_nvenc"):  # needs a GPU, which this lane's workers do not have
            check_encoder(spec)
        sound = job.settings.encode.audio
        if sound.codec != "copy":  # whether copying is exact depends on the plan
            container, whole_s = container_for(Path(job.output)), audio.sound.duration_s
            plan_soundtrack(audio.info, audio.sound, container, sound.codec, sound.bitrate, whole_s)

    def _published(self, job_id: str, job: JobSpec) -> Json | None:
        """Return an earlier result when its file is still where it belongs."""
        result = read_json(self._store, layout.result(job_id))
        if result is None or result.get("status") != "done" or result.get("output") != job.output_address:
            return None
        if not all(isinstance(result.get(name), int) for name in ("frames", "chunks", "bytes_total")):
            return None  # damaged
        if output_at(job.output_address, self._scratch).size() != result["bytes_total"]:
            return None
        sweep_segments(
            self._store, job_id, keep=job.settings.engine.keep_segments
        )  # a driver may have died before it did
        return result

    @staticmethod
    def _detector_id(settings: Settings, weights: Json) -> str:
        return record_id(
            {
                "pipeline": PIPELINE_VERSION,
                "weights": [ref["sha256"] for ref in weights.get("detector") or []],
                "detect": settings.detect.model_dump(mode="json", exclude={"detector", "checkpoint", "batch_frames"}),
                "source": settings.source.model_dump(mode="json", exclude={"static", "still_rate"}),
                "max_gap_s": settings.faces.max_gap_s,
                "chunk": settings.chunk.model_dump(mode="json"),
            }
        )

    # scan: faces in a stretch of the source ---------------------------------------------------

    def _scan(self, payload: Json) -> Json:
        key = layout.scan_chunk(payload["video_id"], payload["detector_id"], payload["chunk"])
        if self._store.size(key) is not None:
            return {}
        job = open_job(self._store, self._media, self._scratch, payload)
        span = Span(payload["start"], payload["stop"])
        found = scan(
            job.video.info,
            job.video.index,
            _recipe(job.spec.settings, job.video),
            span,
            self._models.detector(job.spec.settings, payload["weights"]),
            _squeezed(job.spec.settings.detect, int(payload.get("squeeze", 0))),
            threads=self._config.threads,
            salvage=job.salvage,
            on_frame=self._tick,
        )
        with inputs.scratch_file(self._scratch, "scan.npz") as temporary:
            found.save(temporary)
            self._store.put_file(key, temporary)
        return {}

    # plan: tracks, choice of faces, the output's frames ---------------------------------------

    def _plan(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        job_id = payload["job_id"]
        plan = known_plan(self._store, job_id) or self._make_plan(job, payload)
        done = [number for number in range(len(plan.chunks)) if read_marker(self._store, job_id, number) is not None]
        chunks = [[chunk.start, chunk.stop] for chunk in plan.chunks]
        return {"chunks": chunks, "done": done, "counts": plan.counts}

    def _make_plan(self, job: JobContext, payload: Json) -> Plan:
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
        lipsync, info = job.spec.settings.lipsync, job.video.info
        if lipsync.silence == "off":
            return {}
        found: dict[str, Any] = {"voiced": inputs.voices(self._store, audio, lipsync.min_pause_s)}
        if lipsync.silence == "original" and info.sound_start_s is not None:
            own = job.own_audio(self._scratch)
            if own is not None:
                found["own_voiced"] = inputs.voices(self._store, own, lipsync.min_pause_s)
                found["own_lead_s"] = info.start_s - info.sound_start_s
        return found

    def _choose(self, job: JobContext, payload: Json) -> Chosen:
        settings = job.spec.settings
        rule = parse_selection(settings.faces.select)
        shown = _recipe(settings, job.video).canvas.shown_size
        if rule.kind == "box":
            return fixed_box(rule, len(job.video.index), shown)
        if job.spec.tracks is not None:
            tracks = Tracks.load(job.media.local(job.spec.tracks, payload["identity"]["tracks"]))
            if tracks.frames != len(job.video.index) or tracks.size != shown:
                raise FaceError(
                    "other_tracks",
                    job.spec.tracks,
                    f"must be of a video of {len(job.video.index)} frames of {shown.width}x{shown.height}",
                    f"{tracks.frames} frames of {tracks.size.width}x{tracks.size.height}",
                    "Export the tracks of this video, with the same source settings",
                )
        else:
            tracks = self._tracks(job, payload)
        whole_pixels = settings.faces.smoothing == "reference"
        if not whole_pixels:
            tracks = smooth(tracks, round(settings.faces.smooth_s * float(job.video.index.mean_rate) / 2))
        return choose(tracks, rule, crop_rules(settings, job.video.index.mean_rate))

    def _tracks(self, job: JobContext, payload: Json) -> Tracks:
        video_id, detector_id = payload["video_id"], payload["detector_id"]
        known = load_file(self._store, layout.tracks(video_id, detector_id), Tracks.load)
        if known is not None:
            return known
        settings = job.spec.settings
        rate = float(job.video.index.mean_rate)
        chunks = len(spans(len(job.video.index), chunk_frames(settings, job.video.index.mean_rate)))
        keys = [layout.scan_chunk(video_id, detector_id, n) for n in range(chunks)]
        parts = [load_file(self._store, key, Detections.load) for key in keys]
        found = Detections.joined([part for part in parts if part is not None])
        if len(found.change) != len(job.video.index):
            raise SegmentError(
                "scan_missing",
                video_id,
                f"must be scanned in {chunks} chunks",
                f"{len(found.change)} frames",
                "Run again",
            )
        tracks = linked(found, _recipe(settings, job.video).canvas.shown_size, rate, settings)
        with inputs.scratch_file(self._scratch, "tracks.npz") as temporary:
            tracks.save(temporary)
            self._store.put_file(layout.tracks(video_id, detector_id), temporary)
        return tracks

    # render and assemble -----------------------------------------------------------------------

    def _render(self, payload: Json) -> Json:
        job_id, chunk = payload["job_id"], payload["chunk"]
        known = read_marker(self._store, job_id, chunk)
        if known is not None:
            return {"frames": known.frames, "reused": True}
        begin = time.perf_counter()
        job = open_job(self._store, self._media, self._scratch, payload)
        attempt = uuid.uuid4().hex[:12]
        original, settings = bool(payload.get("original")), job.spec.settings
        squeeze = int(payload.get("squeeze", 0))
        with inputs.scratch_file(self._scratch, "segment.mkv") as temporary:
            marker = render_chunk(
                job,
                payload,
                recipe=_recipe(settings, job.video),
                lipsync=None if original else self._models.lipsync(settings, payload["weights"], squeeze=squeeze),
                restorer=None if original else self._models.restorer(settings, payload["weights"], squeeze=squeeze),
                upscaler=self._models.upscaler(settings, payload["weights"], squeeze=squeeze),
                target=temporary,
                attempt=attempt,
                threads=self._config.threads,
                begin=begin,
                on_frame=self._tick,
                on_check=self._tick_slowly,
            )
            marker = replace(marker, original=original)
            self._store.put_file(marker.segment, temporary)
        marker = commit(self._store, job_id, chunk, marker)
        return {"frames": marker.frames, "reused": False, "seconds": marker.seconds, "stages": marker.stages}

    def _sound(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        planned, _ = prepare_sound(job, payload, read_plan(self._store, payload["job_id"]))
        return {"copied": planned.copy}

    def _assemble(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        return assemble(job, payload, _recipe(job.spec.settings, job.video))


def _squeezed(detect: Detect, squeeze: int) -> Detect:
    """Return how faces are looked for with batches halved so often, for want of memory."""
    return detect.model_copy(update={"batch_frames": max(1, detect.batch_frames >> squeeze)})


def _recipe(settings: Settings, video: inputs.Video) -> FrameRecipe:
    source = settings.source
    return make_recipe(video.info, resize_factor=source.resize_factor, crop=source.crop, turn=source.rotate)
