"""The network that finds what is in front of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, where_installed
from lipwise_ray.roles.lipsync import PASSTHROUGH
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.lipsync.occluder import Occluder


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[Occluder] | None:
    checkpoint = request.checkpoints.one(OCCLUDER.name)
    if checkpoint is None:
        return None
    batch = request.image_batch(host)

    def make() -> Occluder:
        from lipwise_ray.lipsync.occluder import Occluder

        return Occluder(host.locate(checkpoint), threads=host.threads, batch_faces=batch, device=host.device)

    return ModelRecipe((checkpoint,), make, batch=batch)


def _needed(settings: Settings) -> bool:
    composite = settings.composite
    return composite.occlusion and composite.mask != "box" and settings.lipsync.model != PASSTHROUGH


OCCLUDER = ModelRole(
    "occluder",
    "composite.occluder",
    "composite.occluder_checkpoint",
    networks=("xseg",),
    load=_load,
    order=32,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: _needed(settings),
    may_be_none=True,
    auto=where_installed("xseg_1", "what is in front of faces is found by comparing frames"),
)
