"""The networks that hide a mark in the new audio, and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.models.checkpoints import Checkpoint
    from lipwise_ray.nets.watermark import AudioSealMarker, AudioSealReader

_OFF = "off"


def _make_marker(checkpoint: Checkpoint, host: ModelHost) -> AudioSealMarker:
    from lipwise_ray.nets.watermark import AudioSealMarker

    return AudioSealMarker(host.locate(checkpoint), host.device)


def _make_reader(checkpoint: Checkpoint, host: ModelHost) -> AudioSealReader:
    from lipwise_ray.nets.watermark import AudioSealReader

    return AudioSealReader(host.locate(checkpoint), host.device)


WATERMARK = ModelRole(
    "watermark",
    "marking.watermark",
    "marking.watermark_checkpoint",
    networks=("audioseal",),
    load=of_one_file("watermark", _make_marker),
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
    load=of_one_file("watermark_detector", _make_reader),
    order=81,
    in_job_id="it reads what is delivered, and changes nothing of it",
    needed=lambda settings, _: settings.marking.watermark != _OFF,
    may_be_none=True,
    auto=where_installed("audioseal_detector", "nobody reads the mark of what is delivered"),
    is_preloaded=False,
)
