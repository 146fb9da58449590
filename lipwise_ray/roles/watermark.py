"""The networks that hide a mark in the new audio, and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.nets.watermark import AudioSealMarker, AudioSealReader

_OFF = "off"


def _load_marker(request: ModelRequest, host: ModelHost) -> ModelRecipe[AudioSealMarker] | None:
    checkpoint = request.checkpoints.one(WATERMARK.name)
    if checkpoint is None:
        return None

    def make() -> AudioSealMarker:
        from lipwise_ray.nets.watermark import AudioSealMarker

        return AudioSealMarker(host.locate(checkpoint), host.device)

    return ModelRecipe((checkpoint,), make)


def _load_reader(request: ModelRequest, host: ModelHost) -> ModelRecipe[AudioSealReader] | None:
    checkpoint = request.checkpoints.one(WATERMARK_DETECTOR.name)
    if checkpoint is None:
        return None

    def make() -> AudioSealReader:
        from lipwise_ray.nets.watermark import AudioSealReader

        return AudioSealReader(host.locate(checkpoint), host.device)

    return ModelRecipe((checkpoint,), make)


WATERMARK = ModelRole(
    "watermark",
    "marking.watermark",
    "marking.watermark_checkpoint",
    networks=("audioseal",),
    load=_load_marker,
    order=80,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: settings.marking.watermark != _OFF,
    is_preloaded=False,
)

WATERMARK_DETECTOR = ModelRole(
    "watermark_detector",
    "marking.watermark_detector",
    "marking.watermark_detector_checkpoint",
    networks=("audioseal_detector",),
    load=_load_reader,
    order=81,
    in_job_id="it reads what is delivered, and changes nothing of it",
    needed=lambda settings, _: settings.marking.watermark != _OFF,
    may_be_none=True,
    auto=where_installed("audioseal_detector", "nobody reads the mark of what is delivered"),
    is_preloaded=False,
)
