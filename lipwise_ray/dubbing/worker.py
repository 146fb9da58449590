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
from lipwise_ray.dubbing.abilities import abilities_of
from lipwise_ray.dubbing.analysing import Analyser
from lipwise_ray.dubbing.assembly import assemble, prepare_sound, settle, weigh
from lipwise_ray.dubbing.context import known_plan, open_job, read_plan, spec_of
from lipwise_ray.dubbing.evaluating import Evaluator
from lipwise_ray.dubbing.ids import judge_id
from lipwise_ray.dubbing.media import cache_of, media_of
from lipwise_ray.dubbing.model_pool import room_for_models
from lipwise_ray.dubbing.models import PASSTHROUGH, Models
from lipwise_ray.dubbing.placing import Placing, mirror_of
from lipwise_ray.dubbing.planning import Planner, recipe_of
from lipwise_ray.dubbing.probing import Prober
from lipwise_ray.dubbing.published import read_result
from lipwise_ray.dubbing.rendering import render_chunk
from lipwise_ray.dubbing.scores import Distances
from lipwise_ray.dubbing.scoring import score_chunk, stills
from lipwise_ray.dubbing.sounds import Sounds
from lipwise_ray.dubbing.tasks import Kind, is_surely_missing
from lipwise_ray.dubbing.transcribing import recogniser_id
from lipwise_ray.errors import LipwiseError, SegmentError, SettingsError, StorageError, ran_out_of_memory
from lipwise_ray.media.audio import extract_network_sound
from lipwise_ray.settings import Paths, Settings
from lipwise_ray.state import layout
from lipwise_ray.state.markers import commit, done_chunks, read_marker
from lipwise_ray.state.shapes import TranscriptRecord, read_checked
from lipwise_ray.state.store import load_file, open_store, to_json
from lipwise_ray.storage.cache import machine_folder
from lipwise_ray.values import Json

_TICK_EVERY_S = 5.0
_FRAMES_A_COLLECTION = 500


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What every worker of a run is told.

    ``device`` is ``cpu`` or ``cuda``; ``threads`` is the share of the cores on a CPU; ``paths`` says where
    copies of what lies elsewhere are kept; ``models_gb`` how large the checkpoints of models are that stay loaded, 0 to
    go by the memory there is; ``gpu_part`` is the part of a GPU that it may take; ``machine_folder`` is the folder of
    the driver's machine that ``scratch`` is in: another machine has one of its own for it. Empty where all have that
    path.
    """

    state: str
    scratch: str
    device: str
    threads: int
    paths: Paths = field(default_factory=Paths)
    models_gb: float = 0.0
    gpu_part: float = 1.0
    machine_folder: str = ""

    @property
    def scratch_here(self) -> Path:
        """Where this machine has its temporary files.

        Raises:
            StorageError: Its folder is somebody else's, or cannot be made.
        """
        if not self.machine_folder:
            return Path(self.scratch)
        return machine_folder() / Path(self.scratch).relative_to(self.machine_folder)


class Worker:
    """Runs tasks. One at a time; `frames_done` may be read from another thread."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._cache = cache_of(config.paths)
        self._store = open_store(config.state, self._cache)
        self._scratch = config.scratch_here
        self._planner = Planner(self._store, self._scratch)
        place = Placing(mirror_of(config.paths), self._tick_slowly)
        room = partial(room_for_models, config.device, config.threads, config.models_gb, config.gpu_part)
        self._models = Models(config.device, config.threads, place, room)
        threads = config.threads
        prober = Prober(self._store, self._scratch, self._planner, threads, self._tick_slowly)
        analyser = Analyser(self._store, self._scratch, self._models, self._planner, threads, self._tick)
        evaluator = Evaluator(self._store, self._scratch, self._models, self._planner, threads)
        self._known_kinds: set[Kind] = set()
        self._ticked_s = 0.0
        self.frames_done = 0
        """Frames finished since the worker began: stands still when nothing moves."""
        self._kinds: dict[Kind, Callable[[Json], Json]] = {
            "probe": lambda payload: prober.probe(payload, self._media),
            "check": lambda payload: prober.check(payload, self._media),
            "scan": lambda payload: analyser.scan(payload, self._media),
            "listen": lambda payload: analyser.listen(payload, self._media),
            "recognise": lambda payload: analyser.recognise(payload, self._media),
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
            return self._kinds[kind]({**payload, "scratch": str(self._scratch)})
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

    # plan: tracks, choice of faces, the output's frames ---------------------------------------

    def _plan(self, payload: Json) -> Json:
        job = open_job(self._store, self._media, self._scratch, payload)
        job_id = payload["job_id"]
        if "judge" in payload["weights"]:
            self._planner.own_sound(job.spec, job.video)  # filmed lips are compared with it
        try:
            known = known_plan(self._store, job_id) if payload.get("has_begun", True) else None
            plan = known or self._planner.plan(job, payload)
        except SegmentError as error:
            return {"missing": str(error)}
        done = done_chunks(self._store, job_id, len(plan.chunks))
        chunks = [[chunk.start, chunk.stop] for chunk in plan.chunks]
        return {"chunks": chunks, "done": done, "counts": plan.counts}

    # render and assemble -----------------------------------------------------------------------

    def _render(self, payload: Json) -> Json:
        job_id, chunk = payload["job_id"], payload["chunk"]
        known = None if is_surely_missing(payload) else read_marker(self._store, job_id, chunk)
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
        delivered = prepare_sound(job, payload, read_plan(self._store, payload["job_id"]))
        return {"copied": delivered.plan.copy, "sound": delivered.key}

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
        known = None if is_surely_missing(payload) else load_file(self._store, key, Distances.load)
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
        inputs.keep_record(self._store, self._scratch, key, found.save)
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
