"""The network that tells people apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole

if TYPE_CHECKING:
    from lipwise_ray.faces.sface import SFace


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SFace] | None:
    checkpoint = request.checkpoints.one(EMBEDDER.name)
    if checkpoint is None:
        return None

    def make() -> SFace:
        from lipwise_ray.faces.sface import SFace

        return SFace(host.locate(checkpoint), threads=host.threads)

    return ModelRecipe((checkpoint,), make)


EMBEDDER = ModelRole(
    "embedder",
    "faces.embedder",
    "faces.embedder_checkpoint",
    networks=("sface",),
    load=_load,
    order=50,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.has_portraits or row.has_reference,
    evaluates=True,
    figure="identity_distance",
)
