"""What a worker does: one task after another, with models that stay loaded."""

from __future__ import annotations

import gc
import socket
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.abilities import Choice, abilities_of, choices_of
from lipwise_ray.dubbing.assembly import assemble, prepare_sound, settle, sound_codec, sweep_attempts, weigh
from lipwise_ray.dubbing.context import JobSpec, known_plan, open_job, read_plan, spec_of
from lipwise_ray.dubbing.evaluating import Evaluator
from lipwise_ray.dubbing.identity import comparison_id, detector_id_of, identity_of
from lipwise_ray.dubbing.ids import judge_id, record_id
from lipwise_ray.dubbing.listening import LISTENED_PAUSE_S, listen
from lipwise_ray.dubbing.media import cache_of, media_of
from lipwise_ray.dubbing.model_pool import room_for_models
from lipwise_ray.dubbing.models import PASSTHROUGH, Models
from lipwise_ray.dubbing.outputs import output_at
from lipwise_ray.dubbing.placing import Placing, mirror_of
from lipwise_ray.dubbing.planning import Planner, recipe_of
from lipwise_ray.dubbing.published import Published, find_published, read_result
from lipwise_ray.dubbing.recognising import look, look_at_portrait
from lipwise_ray.dubbing.rendering import encode_spec, render_chunk
from lipwise_ray.dubbing.scanning import scan
from lipwise_ray.dubbing.scores import Distances
from lipwise_ray.dubbing.scoring import score_chunk, stills
from lipwise_ray.dubbing.sounds import Sounds
from lipwise_ray.dubbing.speakers import detects, listens, portraits, rules_of
from lipwise_ray.dubbing.stretch import Stretch, stretch_of
from lipwise_ray.dubbing.tasks import Kind
from lipwise_ray.dubbing.transcribing import recogniser_id
from lipwise_ray.errors import FaceError, LipwiseError, SegmentError, SettingsError, StorageError, ran_out_of_memory
from lipwise_ray.media.audio import extract_network_sound
from lipwise_ray.media.encode import check_encoder, is_hardware
from lipwise_ray.media.join import container_for
from lipwise_ray.media.soundtrack import plan_soundtrack
from lipwise_ray.settings import Detect, Paths, Settings
from lipwise_ray.state import layout
from lipwise_ray.state.markers import commit, read_marker
from lipwise_ray.state.shapes import TranscriptRecord, read_checked
from lipwise_ray.state.store import load_file, open_store, to_json
from lipwise_ray.storage.address import shown
from lipwise_ray.values import Json, Span

_TICK_EVERY_S = 5.0
_FRAMES_A_COLLECTION = 500


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What every worker of a run is told.

    ``device`` is ``cpu`` or ``cuda``; ``threads`` is the share of the cores on a CPU; ``paths`` says where
    copies of what lies elsewhere are kept; ``models_gb`` how large the checkpoints of models are that stay loaded, 0 to
    go by the memory there is; ``gpu_part`` is the part of a GPU that it may take.
    """

    state: str
    scratch: str
    device: str
    threads: int
    paths: Paths = field(default_factory=Paths)
    models_gb: float = 0.0
    gpu_part: float = 1.0


class Worker:
    """Runs tasks. One at a time; `frames_done` may be read from another thread."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._cache = cache_of(config.paths)
        self._store = open_store(config.state, self._cache)
        self._scratch = Path(config.scratch)
        self._planner = Planner(self._store, self._scratch)
        place = Placing(mirror_of(config.paths), self._tick_slowly)
        room = partial(room_for_models, config.device, config.threads, config.models_gb, config.gpu_part)
        self._models = Models(config.device, config.threads, place, room)
        evaluator = Evaluator(self._store, self._scratch, self._models, self._planner, config.threads)
        self._known_kinds: set[Kind] = set()
        self._ticked_s = 0.0
        self.frames_done = 0
        """Frames finished since the worker began: stands still when nothing moves."""
        self._kinds: dict[Kind, Callable[[Json], Json]] = {
            "probe": self._probe,
            "check": self._check,
            "scan": self._scan,
            "listen": self._listen,
            "recognise": self._recognise,
            "plan": self._plan,
            "sound": self._sound,
            "transcribe": self._transcribe,
            "render": self._render,
            "score": self._score,
            "weigh": self._weigh,
            "assemble": self._assemble,
            "settle": self._settle,
            "examine": lambda payload: evaluator.examine(payload, self._media),
            "measure": lambda payload: evaluator.measure(payload, self._media, self._tick),
            "conclude": lambda payload: evaluator.conclude(payload, self._media),
        }

    def prepare(self, jobs: list[Json]) -> Json:
        """Load the models that these jobs (settings and weights) need, and tell what this worker can do.

        Raises:
            SetupError: A model cannot be loaded, or the GPU that is asked for is not there.
        """
        if self._config.device == "cuda":
            _check_gpu()
        for job in jobs:
            settings = Settings.model_validate_json(job["settings"])
            if settings.lipsync.model == PASSTHROUGH or job["weights"].get("lipsync"):
                self._models.lipsync(settings, job["weights"])
            self._models.restorer(settings, job["weights"])
            self._models.upscaler(settings, job["weights"])
            self._models.parser(settings, job["weights"])
            if job["weights"].get("expert"):
                self._models.judge(job["weights"])
            if job["weights"].get("judge"):
                self._models.scorer(job["weights"])
            if job["weights"].get("embedder"):
                self._models.embedder(job["weights"])
            if job["weights"].get("inception"):
                self._models.inception(job["weights"])
            if job["weights"].get("detector"):
                self._models.detector(settings, job["weights"])
        return {"load_s": self._models.load_s, "abilities": abilities_of(self._config.device).record()}

    def run(self, kind: Kind, payload: Json) -> Json:
        """Do one task and return a small record."""
        self._media = media_of(spec_of(payload).settings, self._cache, self._tick_slowly)
        self._models.begin_task(bfloat16=(payload.get("choice") or {}).get("bfloat16"))
        ran_out = False
        try:
            return self._kinds[kind](payload)
        except LipwiseError as error:
            raise self._media.named(error) from error
        except Exception as error:
            ran_out = ran_out_of_memory(error)
            if ran_out:
                _let_go(error)
            raise
        finally:
            if ran_out:
                self._models.trim()
            # Decoders and frames hang in reference cycles whose size Python cannot see: without
            # this, memory would grow from chunk to chunk.
            gc.collect()
            if kind not in self._known_kinds:
                # What libraries keep for good need not be looked through after every task: that takes 0.1 s.
                self._known_kinds.add(kind)
                gc.freeze()

    def _tick(self) -> None:
        self.frames_done += 1
        if self.frames_done % _FRAMES_A_COLLECTION == 0:  # as after each task: one may have as many frames as a film
            gc.collect()

    def _tick_slowly(self) -> None:
        """Show that something moves which is not a frame: a download, a check."""
        now = time.monotonic()
        if now - self._ticked_s > _TICK_EVERY_S:
            self._ticked_s = now
            self._tick()

    # probe: what the inputs are, and how far earlier runs came -------------------------------

    def _probe(self, payload: Json) -> Json:
        job = spec_of(payload)
        images = {address: self._media.identity(address) for address in portraits(rules_of(job.speakers, job.settings))}
        undecided, device = identity_of(job, self._media, payload, images), payload["device"]
        problem = ""
        for choice in choices_of(payload, "known_choices", job.settings):
            job_id = record_id(choice.identity(undecided, device))
            published = self._published(job_id, job, payload)
            if published.result is not None:
                return {"job_id": job_id, "published": published.result}
            problem = problem or published.problem
        opened = open_job(self._store, self._media, self._scratch, {**payload, "video_id": undecided["video"]})
        video = opened.video
        choice, has_begun = self._choose(job, video, payload, undecided)
        identity = choice.identity(undecided, device)
        job_id = record_id(identity)
        sounds = Sounds(opened, self._scratch, job_id, identity, self._tick_slowly)
        audio, lines = sounds.delivered(), sounds.lines()
        self._check_early(job, audio)
        rules = [one.rule for one in lines]
        detector_id = detector_id_of(job.settings, payload["weights"])
        voices_id = looks_id = None
        to_scan: list[list[int]] = []
        stretch = stretch_of(opened)
        tracks = layout.tracks(video.id, detector_id, stretch.part)
        if detects(rules, job.tracks) and self._store.size(tracks) is None:
            to_scan = self._missing(stretch, lambda number: layout.scan_chunk(video.id, detector_id, number))
        to_listen: list[list[int]] = []
        if listens(rules):
            self._check_own_sound(job, video)
            voices_id = found = comparison_id(job, identity, "expert", stretch.part)
            to_listen = self._missing(stretch, lambda number: layout.voices(video.id, found, number))
        to_recognise: list[list[int]] = []
        if portraits(rules):
            looks_id = seen = comparison_id(job, identity, "embedder", stretch.part)
            to_recognise = self._missing(stretch, lambda number: layout.looks(video.id, seen, number))
        return {
            "job_id": job_id,
            "identity": identity,
            "video_id": video.id,
            "detector_id": detector_id,
            "frames": len(video.index),
            "scan": to_scan,
            "voices_id": voices_id,
            "listen": to_listen,
            "looks_id": looks_id,
            "recognise": to_recognise,
            "portraits": images,
            "to_look_at": {
                address: image_id
                for address, image_id in images.items()
                if self._store.size(layout.portrait(image_id, str(looks_id))) is None
            },
            "published": None,
            "choice": choice.record(),
            "check": is_hardware(choice.encoder) and not has_begun,
            "problem": problem,
        }

    def _choose(self, job: JobSpec, video: inputs.Video, payload: Json, undecided: Json) -> tuple[Choice, bool]:
        """Return how a job is done, and whether an earlier run has begun it so.

        Raises:
            SettingsError: No encoder opens. One that needs a GPU is tried next, by a worker that has one.
        """
        choices = choices_of(payload, "choices", job.settings)
        begun = [
            choice
            for choice in choices
            if self._store.size(layout.plan(record_id(choice.identity(undecided, payload["device"])))) is not None
        ]
        refused: SettingsError | None = None
        for choice in begun or choices:
            settings = choice.settings(job.settings)
            try:
                spec = encode_spec(settings, job.output, recipe_of(settings, video), video, self._config.threads)
                if not begun and not is_hardware(spec.codec):
                    check_encoder(spec)
            except SettingsError as error:
                refused = refused or error
            else:
                return replace(choice, encoder=spec.codec), bool(begun)
        assert refused is not None  # there is one choice at least
        raise refused

    def _check(self, payload: Json) -> Json:
        """Open a job's encoder where it is, before any work that it could make vain."""
        job = open_job(self._store, self._media, self._scratch, payload)
        settings = job.spec.settings
        check_encoder(
            encode_spec(
                settings, job.spec.output, recipe_of(settings, job.video), job.video, threads=self._config.threads
            )
        )
        return {}

    def _missing(self, stretch: Stretch, key_of: Callable[[int], str]) -> list[list[int]]:
        """Return the chunks of a source (number, start, stop) that are looked at and whose records are not there."""
        return [
            [number, piece.start, piece.stop]
            for number, piece in stretch.numbered
            if self._store.size(key_of(number)) is None
        ]

    def _check_early(self, job: JobSpec, audio: inputs.Audio) -> None:
        """Find out before any work what would only fail at its end."""
        output_at(job.output_address, self._scratch).check()
        sound, codec = job.settings.encode.audio, sound_codec(job.settings, audio.info)
        if codec != "copy":  # whether copying is exact depends on the plan
            container, whole_s = container_for(Path(job.output)), audio.sound.duration_s
            plan_soundtrack(audio.info, audio.sound, container, codec, sound.bitrate, whole_s)

    def _published(self, job_id: str, job: JobSpec, payload: Json) -> Published:
        """Return an earlier result when its file is still where it belongs, and what it was."""
        output, verify = output_at(job.output_address, self._scratch), bool(payload.get("verify"))
        found = find_published(
            self._store, job_id, job.output_address, output, verify=verify, on_block=self._tick_slowly
        )
        # A driver may have died before it did; a later attempt leaves alone what others wait with.
        if found.result and not payload.get("attempt"):
            sweep_attempts(self._store, found.result, keep=job.settings.engine.keep_segments)
        return found

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
            recipe_of(job.spec.settings, job.video),
            span,
            self._models.detector(job.spec.settings, payload["weights"]),
            _squeezed(job.spec.settings.detect, int(payload.get("squeeze", 0))),
            threads=self._config.threads,
            salvage=job.salvage,
            on_frame=self._tick,
        )
        self._keep(key, found.save)
        return {}

    # listen: whose lips go with the filmed sound -------------------------------------------------

    def _check_own_sound(self, job: JobSpec, video: inputs.Video) -> None:
        """Decode the sound filmed with a video, by which its speaker is to be found."""
        if self._planner.own_sound(job, video) is None:
            raise FaceError(
                "no_own_sound",
                "faces",
                "needs a video whose own sound can be used, for `speaking`",
                "none",
                "Choose another rule for this row",
            )

    def _listen(self, payload: Json) -> Json:
        key = layout.voices(payload["video_id"], payload["voices_id"], payload["chunk"])
        if self._store.size(key) is not None:
            return {}
        job = open_job(self._store, self._media, self._scratch, payload)
        own = self._planner.own_sound(job.spec, job.video)
        if own is None:
            raise StorageError("no_sound", key, "must keep the video's sound", "nothing", "Run again")
        try:
            tracks = self._planner.tracks(job, payload)
        except SegmentError as error:
            return {"missing": str(error)}
        info, settings = job.video.info, job.spec.settings
        found = listen(
            info,
            job.video.index,
            recipe_of(settings, job.video),
            Span(payload["start"], payload["stop"]),
            tracks,
            self._models.judge(payload["weights"]),
            inputs.open_columns(self._store, own.mel_key),
            inputs.voices(self._store, own.mel_key, LISTENED_PAUSE_S),
            inputs.lead_s(info),
            threads=self._config.threads,
            salvage=job.salvage,
            on_frame=self._tick,
        )
        self._keep(key, found.save)
        return {}

    # recognise: what faces look like -----------------------------------------------------------------

    def _recognise(self, payload: Json) -> Json:
        if "portrait" in payload:
            return self._recognise_portrait(payload)
        key = layout.looks(payload["video_id"], payload["looks_id"], payload["chunk"])
        if self._store.size(key) is not None:
            return {}
        job = open_job(self._store, self._media, self._scratch, payload)
        try:
            tracks = self._planner.tracks(job, payload)
        except SegmentError as error:
            return {"missing": str(error)}
        found = look(
            job.video.info,
            job.video.index,
            recipe_of(job.spec.settings, job.video),
            Span(payload["start"], payload["stop"]),
            tracks,
            self._models.embedder(payload["weights"]),
            threads=self._config.threads,
            salvage=job.salvage,
            on_frame=self._tick,
        )
        self._keep(key, found.save)
        return {}

    def _recognise_portrait(self, payload: Json) -> Json:
        address, image_id = payload["portrait"]
        spec = spec_of(payload)
        file = self._media.local(address, image_id)
        image = inputs.open_video(
            self._store, self._scratch, file, image_id, salvage=False, limits=spec.settings.limits
        )
        looks = look_at_portrait(
            image.info,
            image.index,
            self._models.detector(spec.settings, payload["weights"]),
            self._models.embedder(payload["weights"]),
            spec.settings.detect,
            shown(address),
        )
        self._keep(layout.portrait(image_id, payload["looks_id"]), looks.save)
        return {}

    def _keep(self, key: str, save: Callable[[Path], None]) -> None:
        """Write a record and put it into the state."""
        with inputs.scratch_file(self._scratch, "record.npz") as temporary:
            save(temporary)
            self._store.put_file(key, temporary)

    # plan: tracks, choice of faces, the output's frames ---------------------------------------

    def _plan(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        job_id = payload["job_id"]
        if "judge" in payload["weights"]:
            self._planner.own_sound(job.spec, job.video)  # filmed lips are compared with it
        try:
            plan = known_plan(self._store, job_id) or self._planner.plan(job, payload)
        except SegmentError as error:
            return {"missing": str(error)}
        done = [number for number in range(len(plan.chunks)) if read_marker(self._store, job_id, number) is not None]
        chunks = [[chunk.start, chunk.stop] for chunk in plan.chunks]
        return {"chunks": chunks, "done": done, "counts": plan.counts}

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
        is_filmed = original or settings.lipsync.model == PASSTHROUGH
        squeeze = int(payload.get("squeeze", 0))
        with inputs.scratch_file(self._scratch, "segment.mkv") as temporary:
            marker = render_chunk(
                job,
                payload,
                recipe=recipe_of(settings, job.video),
                lipsync=None if is_filmed else self._models.lipsync(settings, payload["weights"], squeeze=squeeze),
                restorer=None if is_filmed else self._models.restorer(settings, payload["weights"], squeeze=squeeze),
                parser=None if is_filmed else self._models.parser(settings, payload["weights"], squeeze=squeeze),
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

    def _transcribe(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        folder = Path(str(job.spec.settings.asr.model))
        audio = Sounds(job, self._scratch, payload["job_id"], payload["identity"]).file()
        key = layout.transcript(audio.id, recogniser_id(folder), salvage=job.salvage)
        known = read_checked(self._store, key, TranscriptRecord)
        if known is None:
            with inputs.scratch_file(self._scratch, "wave.f32") as wave:
                extract_network_sound(audio.info, wave, salvage=job.salvage, limits=job.spec.settings.limits)
                known = self._models.recogniser(folder)(np.memmap(wave, np.float32, "r"), self._tick_slowly).record()
            self._store.write(key, to_json(known))
        return {"language": known["language"]}

    def _score(self, payload: Json) -> Json:
        job_id, chunk, weights = payload["job_id"], payload["chunk"], payload["weights"]
        key = layout.score(job_id, judge_id(weights["judge"]), chunk)
        known = load_file(self._store, key, Distances.load)
        if known is not None and known.is_of({n: read_marker(self._store, job_id, n) for n in known.segments}):
            return {}
        job = open_job(self._store, self._media, self._scratch, payload)
        plan, recipe = read_plan(self._store, job_id), recipe_of(job.spec.settings, job.video)
        threads = self._config.threads
        judge = self._models.scorer(weights, squeeze=int(payload.get("squeeze", 0)))
        found = score_chunk(job, plan, chunk, recipe, judge, job_id=job_id, threads=threads, on_frame=self._tick)
        if not isinstance(found, Distances):
            return {"missing": found}
        pictures = stills(job, plan, chunk, recipe, job_id=job_id, threads=threads)
        for name, picture in zip(("before", "after"), pictures or (), strict=bool(pictures)):
            self._store.write(layout.still(job_id, name), picture)
        self._keep(key, found.save)
        return {}

    def _weigh(self, payload: Json) -> Json:
        return weigh(open_job(self._store, self._media, self._scratch, payload), payload)

    def _settle(self, payload: Json) -> Json:
        best_id: str = payload["best_id"]
        known = (read_result(self._store, job_id) for job_id in (best_id, payload["first_id"]))
        result = next((one for one in known if one and one.get("job_id") == best_id), None)
        if result is None:
            key = layout.result(best_id)
            raise StorageError(
                "result_gone", key, "must be whole in the state", "nothing", "Run the same command again"
            )
        settle(self._store, payload, result, keep=spec_of(payload).settings.engine.keep_segments)
        return {**result, "reused": True}

    def _assemble(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        return assemble(job, payload, recipe_of(job.spec.settings, job.video))


def _let_go(error: BaseException | None) -> None:
    """Clear the frames that an exception came through: they hold the very batches that there was no memory for."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _check_gpu() -> None:
    import torch  # noqa: PLC0415  # only where a GPU is asked for

    if not torch.cuda.is_available():
        raise SettingsError(
            "no_gpu",
            "engine.device",
            "cuda must be there where workers run",
            f"no CUDA device on {socket.gethostname()}",
            "Use auto, or machines with a GPU and its driver",
        )


def _squeezed(detect: Detect, squeeze: int) -> Detect:
    """Return how faces are looked for with batches halved so often, for want of memory."""
    return detect.model_copy(update={"batch_frames": max(1, detect.batch_frames >> squeeze)})
