"""What is found in a stretch of the source: faces, whose lips go with the filmed sound, and what people look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import open_job, spec_of
from lipwise_ray.dubbing.listening import LISTENED_PAUSE_S, listen
from lipwise_ray.dubbing.media import Media
from lipwise_ray.dubbing.models import Models
from lipwise_ray.dubbing.planning import Planner, recipe_of
from lipwise_ray.dubbing.recognising import look, look_at_portrait
from lipwise_ray.dubbing.scanning import scan
from lipwise_ray.dubbing.tasks import is_surely_missing
from lipwise_ray.errors import SegmentError, StorageError
from lipwise_ray.settings import Detect
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.storage.address import shown
from lipwise_ray.values import Json, Span


class Analyser:
    """Looks at stretches of videos; what is found is kept in the state.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        models: The worker's.
        planner: Knows tracks and filmed sounds.
        threads: Of decoders.
        on_frame: Called after each frame.
    """

    def __init__(
        self,
        store: Store,
        scratch: Path,
        models: Models,
        planner: Planner,
        threads: int,
        on_frame: Callable[[], None],
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._models = models
        self._planner = planner
        self._threads = threads
        self._on_frame = on_frame

    def scan(self, payload: Json, media: Media) -> Json:
        """Find faces in a chunk, and how much its pictures change."""
        key = layout.scan_chunk(payload["video_id"], payload["detector_id"], payload["chunk"])
        if not is_surely_missing(payload) and self._store.size(key) is not None:
            return {}
        job = open_job(self._store, media, self._scratch, payload)
        span = Span(payload["start"], payload["stop"])
        found = scan(
            job.video.info,
            job.video.index,
            recipe_of(job.spec.settings, job.video),
            span,
            self._models.detector(job.spec.settings, payload["weights"]),
            _squeezed(job.spec.settings.detect, int(payload.get("squeeze", 0))),
            threads=self._threads,
            salvage=job.salvage,
            on_frame=self._on_frame,
        )
        inputs.keep_record(self._store, self._scratch, key, found.save)
        return {}

    def listen(self, payload: Json, media: Media) -> Json:
        """Compare the lips of everybody in a chunk with the sound filmed there."""
        key = layout.voices(payload["video_id"], payload["voices_id"], payload["chunk"])
        if not is_surely_missing(payload) and self._store.size(key) is not None:
            return {}
        job = open_job(self._store, media, self._scratch, payload)
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
            threads=self._threads,
            salvage=job.salvage,
            on_frame=self._on_frame,
        )
        inputs.keep_record(self._store, self._scratch, key, found.save)
        return {}

    def recognise(self, payload: Json, media: Media) -> Json:
        """Embed a few faces of every track in a chunk, or those of a portrait."""
        if "portrait" in payload:
            return self._recognise_portrait(payload, media)
        key = layout.looks(payload["video_id"], payload["looks_id"], payload["chunk"])
        if not is_surely_missing(payload) and self._store.size(key) is not None:
            return {}
        job = open_job(self._store, media, self._scratch, payload)
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
            threads=self._threads,
            salvage=job.salvage,
            on_frame=self._on_frame,
        )
        inputs.keep_record(self._store, self._scratch, key, found.save)
        return {}

    def _recognise_portrait(self, payload: Json, media: Media) -> Json:
        address, image_id = payload["portrait"]
        spec = spec_of(payload)
        file = media.local(address, image_id)
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
        inputs.keep_record(self._store, self._scratch, layout.portrait(image_id, payload["looks_id"]), looks.save)
        return {}


def _squeezed(detect: Detect, squeeze: int) -> Detect:
    """Return how faces are looked for with batches halved so often, for want of memory."""
    return detect.model_copy(update={"batch_frames": max(1, detect.batch_frames >> squeeze)})
